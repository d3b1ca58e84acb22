/** torch checkpoints of any size whose content is known beforehand: input for benchmarks and end-to-end tests. */
import { createHash } from "node:crypto";
import { StateDict, saveTorch, Tensor } from "@rankcast/core";

/** One float32 tensor of a generated checkpoint, as the file names it. */
export interface GeneratedTensor {
  readonly name: string;
  readonly shape: readonly [rows: number, columns: number];
  /** SHA-256 of its elements, computed before anything of ours has written or read them. */
  readonly sha256: string;
}

/** What `generateCheckpoint` wrote. */
export interface GeneratedCheckpoint {
  readonly path: string;
  /** Size of the file. */
  readonly bytes: number;
  readonly tensors: readonly GeneratedTensor[];
}

const COLUMNS = 1024;
const TENSORS = 16;
// Golden-ratio multiplier: neighbouring elements differ, and so do the checksums of every page.
const SPREAD = 2_654_435_761;
const PERIOD = 65_521;

/**
 * Writes about `nbytes` of float32 weights, `module.layer.0.weight` … `module.layer.15.weight`, as DDP would have saved them.
 * Holds the whole content in memory meanwhile.
 */
export async function generateCheckpoint(path: string, nbytes: number): Promise<GeneratedCheckpoint> {
  const rows = Math.max(1, Math.floor(nbytes / (4 * COLUMNS * TENSORS)));
  const stateDict = new StateDict();
  const tensors: GeneratedTensor[] = [];
  for (let index = 0; index < TENSORS; index += 1) {
    const values = generatedValues(index, rows * COLUMNS);
    const name = `module.layer.${index}.weight`;
    stateDict.set(name, Tensor.from(values, [rows, COLUMNS]));
    tensors.push({ name, shape: [rows, COLUMNS], sha256: createHash("sha256").update(values).digest("hex") });
  }
  const { bytes } = await saveTorch(path, stateDict);
  return { path, bytes, tensors };
}

/**
 * Windows of the file to copy, `offset:nbytes`, as the plain way's ranks take them: it is spared the parsing, so only their sizes are the
 * tensors' own.
 */
export function extentsOf({ tensors }: GeneratedCheckpoint): string[] {
  let offset = 0;
  return tensors.map(({ shape: [rows, columns] }) => {
    const nbytes = rows * columns * Float32Array.BYTES_PER_ELEMENT;
    offset += nbytes;
    return `${offset - nbytes}:${nbytes}`;
  });
}

/** Finite values, different in every page of every tensor. */
function generatedValues(index: number, count: number): Float32Array {
  const values = new Float32Array(count);
  for (let at = 0; at < Math.min(PERIOD, count); at += 1) values[at] = ((at * SPREAD) % PERIOD) / PERIOD - 0.5;
  for (let at = PERIOD; at < count; at *= 2) values.copyWithin(at, 0, Math.min(at, count - at));
  for (let page = 0; page < count; page += COLUMNS) values[page] = index * 65_536 + page / COLUMNS;
  return values;
}
