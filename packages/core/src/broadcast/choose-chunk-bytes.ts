/** How large chunks are. */

const MIB = 2 ** 20;
/** A chunk costs a message and two thread hops, about 0.2 ms: below this that shows. */
export const SMALLEST_CHUNK = 1 * MIB;
const LARGEST = 4 * MIB;
/** Filling the pipeline may cost this share of the transfer. */
export const FILL_SHARE = 0.05;

/**
 * The chunk length of a broadcast: as large as it may be (fewer messages) while filling a chain of `nodeCount` nodes costs at most a
 * twentieth of the transfer; a power of two from 1 to 4 MiB. Chunks that come over several connections at once share the link, so each takes as many times longer.
 */
export function chooseChunkBytes(totalBytes: number, nodeCount: number, connections = 1): number {
  const hops = hopsToFill(nodeCount);
  let chunkBytes = LARGEST;
  while (chunkBytes > SMALLEST_CHUNK && hops * connections * chunkBytes > FILL_SHARE * totalBytes) chunkBytes /= 2;
  return chunkBytes;
}

/** Links that wait for a first chunk. */
export function hopsToFill(nodeCount: number): number {
  return Math.max(nodeCount - 2, 1);
}
