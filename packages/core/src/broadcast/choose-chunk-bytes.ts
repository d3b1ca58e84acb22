/** How large chunks are. */

const MIB = 2 ** 20;
/** A chunk costs a message and two thread hops, about 0.2 ms: below this that shows. */
const SMALLEST = 1 * MIB;
const LARGEST = 4 * MIB;
/** Filling the pipeline may cost this share of the transfer. */
const FILL_SHARE = 0.05;

/**
 * The chunk length of a broadcast: as large as it may be (fewer messages) while filling a chain of `nodeCount` nodes costs at most a
 * twentieth of the transfer; a power of two from 1 to 4 MiB.
 */
export function chooseChunkBytes(totalBytes: number, nodeCount: number): number {
  const hops = Math.max(nodeCount - 2, 1);
  let chunkBytes = LARGEST;
  while (chunkBytes > SMALLEST && hops * chunkBytes > FILL_SHARE * totalBytes) chunkBytes /= 2;
  return chunkBytes;
}
