/**
 * What DeepSpeed's files say, as far as the weights need it. Source of keys and meanings: `deepspeed/utils/zero_to_fp32.py` and
 * `deepspeed/checkpoint/constants.py`.
 */
import { FormatError } from "../errors/checkpoint-error.ts";
import { printable, quote } from "../errors/quote.ts";
import { type CheckpointTree, type TensorRef, TreeDict, TreeList, type TreeValue } from "../manifest/checkpoint-tree.ts";
import { countOf } from "../pickle/call-arguments.ts";
import { isFlat } from "./zero-flat.ts";

/** One file of the checkpoint, decoded. */
export interface ZeroFile {
  readonly name: string;
  readonly tree: CheckpointTree;
  /** Index of the file's first source among all. */
  readonly sourceShift: number;
}

/** One rank's share of the master weights. */
export interface OptimizerState {
  readonly file: ZeroFile;
  readonly stage: number;
  /** Ranks that share the parameters. */
  readonly worldSize: number;
  /** One flat tensor per parameter group (stages 1 and 2) or sub-group (stage 3). */
  readonly groups: readonly TensorRef[];
}

/** What the model states of a rank describe. */
export interface ModelState {
  readonly file: ZeroFile;
  /** `module`: 16-bit weights and buffers (stages 1 and 2), buffers only (stage 3). */
  readonly module: TreeDict;
  readonly bufferNames: ReadonlySet<string>;
  /** Shapes by name, one table per parameter group, in the order of the flat vectors. */
  readonly paramShapes: readonly ReadonlyMap<string, readonly number[]>[];
  readonly frozenShapes: ReadonlyMap<string, readonly number[]>;
  readonly frozenFragments: ReadonlyMap<string, TensorRef>;
  /** Name to the name whose tensor it shares. */
  readonly sharedParams: ReadonlyMap<string, string>;
  readonly version: string | null;
}

/** @throws {FormatError} RANKCAST_ZERO_LAYOUT when the file is no optimizer state of ZeRO. */
export function parseOptimizerState(file: ZeroFile): OptimizerState {
  const state = dictOf(file, entryOf(file, file.tree.root, "optimizer_state_dict"), "optimizer_state_dict");
  const stage = countOf(state.entries.get("zero_stage"));
  if (stage === null || stage < 1 || stage > 3) return failZero(file.name, `zero_stage is not 1, 2 or 3`);
  const key = stage === 3 ? "fp32_flat_groups" : "single_partition_of_fp32_groups";
  const groups = state.entries.get(key);
  if (!(groups instanceof TreeList) || !groups.elements.every(isFlat)) return failZero(file.name, `${key} is no list of flat tensors`);
  return { file, stage, worldSize: worldSizeOf(file, state.entries.get("partition_count")), groups: groups.elements };
}

/** Groups may be shared by different numbers of ranks (experts); all ranks is the largest. */
function worldSizeOf(file: ZeroFile, value: TreeValue | undefined): number {
  const counts = (value instanceof TreeList ? value.elements : [value]).map((each) => countOf(each) ?? 0);
  const largest = counts.reduce((most, each) => Math.max(most, each), 0);
  return largest > 0 ? largest : failZero(file.name, "partition_count is no number of ranks");
}

/** @throws {FormatError} RANKCAST_ZERO_LAYOUT when the file is no model state of DeepSpeed. */
export function parseModelState(file: ZeroFile): ModelState {
  const root = dictOf(file, file.tree.root, "the file");
  const names = root.entries.get("buffer_names");
  const shapes = root.entries.get("param_shapes");
  if (!(names instanceof TreeList) || !(shapes instanceof TreeList))
    return failZero(file.name, "no buffer_names or param_shapes: no model state");
  const version = root.entries.get("ds_version");
  return {
    file,
    module: dictOf(file, root.entries.get("module"), "module"),
    bufferNames: new Set(names.elements.filter((each) => typeof each === "string")),
    paramShapes: shapes.elements.map((table) => shapesOf(file, table)),
    frozenShapes: shapesOf(file, root.entries.get("frozen_param_shapes")),
    frozenFragments: tableOf(file, root.entries.get("frozen_param_fragments"), (value) => (isFlat(value) ? value : null)),
    sharedParams: tableOf(file, root.entries.get("shared_params"), (value) => (typeof value === "string" ? value : null)),
    version: typeof version === "string" ? version : null,
  };
}

/** The weights of a checkpoint without ZeRO, which are whole. @throws {FormatError} RANKCAST_ZERO_LAYOUT when there are none. */
export function moduleOf(file: ZeroFile): TreeDict {
  return dictOf(file, entryOf(file, file.tree.root, "module"), "module");
}

function shapesOf(file: ZeroFile, value: TreeValue | undefined): Map<string, readonly number[]> {
  return tableOf(file, value, (shape) => {
    if (!(shape instanceof TreeList)) return null;
    const sizes = shape.elements.map(countOf);
    const numel = sizes.reduce<number>((product, size) => product * (size ?? Number.NaN), 1);
    return Number.isSafeInteger(numel) ? (sizes as number[]) : null;
  });
}

/** A dict of texts to something; None and absence are an empty one. */
function tableOf<T>(file: ZeroFile, value: TreeValue | undefined, read: (value: TreeValue) => T | null): Map<string, T> {
  const table = new Map<string, T>();
  if (value === undefined || value === null) return table;
  for (const [name, each] of dictOf(file, value, "a table of parameters").entries) {
    const found = read(each);
    if (typeof name !== "string" || found === null)
      return failZero(file.name, `a table of parameters holds something unexpected at ${quote(String(name))}`);
    table.set(name, found);
  }
  return table;
}

function entryOf(file: ZeroFile, value: TreeValue, key: string): TreeValue | undefined {
  return dictOf(file, value, "the file").entries.get(key);
}

function dictOf(file: ZeroFile, value: TreeValue | undefined, what: string): TreeDict {
  return value instanceof TreeDict ? value : failZero(file.name, `${what} is no dict`);
}

/** Refuses the checkpoint. @throws {FormatError} RANKCAST_ZERO_LAYOUT, always. */
export function failZero(file: string, problem: string, key?: string): never {
  throw new FormatError("RANKCAST_ZERO_LAYOUT", `${printable(file)}: ${problem}`, {
    details: { file, ...(key === undefined ? {} : { key }) },
  });
}
