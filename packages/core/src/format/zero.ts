/**
 * DeepSpeed checkpoints: a text file `latest` with the name of a folder, and in it the model states and each rank's part of the 32-bit master
 * weights. The result is the whole 32-bit state dict that DeepSpeed's own `zero_to_fp32.py` gives, except that buffers keep their type (the
 * script turns integer buffers into floats).
 */
import { FormatError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { type CheckpointTree, TreeDict, type TreeValue } from "../manifest/checkpoint-tree.ts";
import type { ByteSource } from "../source/byte-source.ts";
import type { CheckpointFormat, FormatInput } from "./checkpoint-format.ts";
import { rebaseSources } from "./rebase-sources.ts";
import type { ReadShard } from "./sharded.ts";
import { inOrder, openPart, partInput } from "./sharded-parts.ts";
import { requireSafePath } from "./sharded-path.ts";
import { mergeFrozen, mergeStage2, mergeStage3 } from "./zero-merge.ts";
import { failZero, type ModelState, moduleOf, parseModelState, parseOptimizerState, type ZeroFile } from "./zero-states.ts";

const ENTRY_NAME = /(^|[/\\])latest$/;
const TAG_BYTES_MAX = 512;
const MODEL_STATES = /_model_states\.pt$/;
const OPTIMIZER_STATES = /_optim_states\.pt$/;

/** The DeepSpeed format. Its files are read by `readShard`. */
export function zeroFormat(readShard: ReadShard): CheckpointFormat {
  return {
    name: "zero",
    matches: ({ source, head }) =>
      ENTRY_NAME.test(source.name) && source.sizeBytes > 0 && source.sizeBytes <= TAG_BYTES_MAX && !head.some(isControl),
    read: (input) => readZero(input, readShard),
  };
}

/** A name is text; every checkpoint of another format that is so small has bytes that no text has. */
function isControl(byte: number): boolean {
  return byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d;
}

async function readZero(input: FormatInput, readShard: ReadShard): Promise<CheckpointTree> {
  const tag = requireSafePath(Buffer.from(input.head).toString("utf8").trim(), input.source.name, input.limits);
  const names = await filesBelow(input, `${tag}/`);
  const modelNames = names.filter((name) => MODEL_STATES.test(name)).sort(byNumbers);
  const optimizerNames = names.filter((name) => OPTIMIZER_STATES.test(name)).sort(byNumbers);
  if (modelNames.length === 0) failZero(input.source.name, `no model states in the folder ${quote(tag)} that it names`);
  const files = await readFiles(input, [...modelNames, ...optimizerNames], readShard);
  const models = files.slice(0, modelNames.length);
  const optimizers = files.slice(modelNames.length);
  const charge: Charge = (nbytes) => input.heap.charge(nbytes, input.source.name);
  const whole = optimizers.length === 0 ? wholeModule(models, charge) : mergedModule(input.source.name, models, optimizers, charge);
  return {
    format: "zero",
    root: whole.root,
    sources: files.flatMap(({ tree }) => tree.sources),
    checksums: optimizers.length === 0 ? (models[0]?.tree.checksums ?? "absent") : "partial",
    fileMetadata: whole.fileMetadata,
    warnings: files.flatMap(({ tree }) => tree.warnings),
  };
}

/** How many ranks there are stands in their files only, so the folder must be listed. */
async function filesBelow({ source, siblings }: FormatInput, folder: string): Promise<readonly string[]> {
  const names = await siblings.list();
  if (names !== null) return names.filter((name) => name.startsWith(folder));
  throw new FormatError("RANKCAST_UNSUPPORTED", `${source.name}: the files in ${quote(folder)} cannot be listed`, {
    details: { file: source.name, path: folder, feature: "a DeepSpeed checkpoint at a plain URL" },
    remedy: "Download the checkpoint's directory and pass that.",
  });
}

async function readFiles(input: FormatInput, names: readonly string[], readShard: ReadShard): Promise<ZeroFile[]> {
  const trees = await inOrder(names, async (name) => readShard(await partInput(input, (await openPart(input, name)) as ByteSource)));
  let sourceShift = 0;
  return trees.map((tree, index) => {
    const file = { name: names[index] ?? "", tree, sourceShift };
    sourceShift += tree.sources.length;
    return file;
  });
}

/** Counts heap. */
type Charge = (nbytes: number) => void;

interface Whole {
  readonly root: TreeDict;
  readonly fileMetadata: ReadonlyMap<string, string>;
}

/** Without ZeRO the first model state holds everything. */
function wholeModule([file]: readonly ZeroFile[], charge: Charge): Whole {
  if (file === undefined) return { root: new TreeDict(), fileMetadata: new Map() };
  return {
    root: rebaseSources(moduleOf(file), { sources: file.sourceShift, bytes: 0 }, charge) as TreeDict,
    fileMetadata: new Map([["zero_stage", "0"]]),
  };
}

/** In the order of `zero_to_fp32.py`: buffers, frozen parameters, trained parameters, names that share a tensor. */
function mergedModule(entry: string, modelFiles: readonly ZeroFile[], optimizerFiles: readonly ZeroFile[], charge: Charge): Whole {
  const models = modelFiles.map(parseModelState);
  const optimizers = optimizerFiles.map(parseOptimizerState);
  const [model] = models as [ModelState];
  const [{ stage, worldSize } = { stage: 0, worldSize: 0 }] = optimizers;
  for (const each of optimizers)
    if (each.stage !== stage) failZero(each.file.name, `ZeRO stage ${each.stage} beside files of stage ${stage}`);
  if (worldSize !== optimizers.length) failZero(entry, `optimizer states of ${optimizers.length} ranks where ${worldSize} saved`);
  const root = new TreeDict("OrderedDict");
  for (const [name, value] of buffersOf(model, charge)) root.entries.set(name, value);
  for (const [name, tensor] of mergeFrozen(models, stage, charge)) root.entries.set(name, tensor);
  for (const [name, tensor] of stage === 3 ? mergeStage3(optimizers, model, charge) : mergeStage2(optimizers, model, charge))
    root.entries.set(name, tensor);
  for (const [name, shared] of model.sharedParams) {
    const tensor = root.entries.get(shared);
    if (tensor !== undefined) root.entries.set(name, tensor);
  }
  const facts = [
    ["zero_stage", String(stage)],
    ["world_size", String(worldSize)],
    ...(model.version === null ? [] : [["ds_version", model.version]]),
  ];
  return { root, fileMetadata: new Map(facts as [string, string][]) };
}

function buffersOf({ module, bufferNames, file }: ModelState, charge: Charge): [string, TreeValue][] {
  const buffers = new TreeDict();
  for (const [name, value] of module.entries) if (typeof name === "string" && bufferNames.has(name)) buffers.entries.set(name, value);
  return [...(rebaseSources(buffers, { sources: file.sourceShift, bytes: 0 }, charge) as TreeDict).entries] as [string, TreeValue][];
}

/** Order of rank numbers, not of their digits: rank 10 comes after rank 9. */
function byNumbers(a: string, b: string): number {
  const [left, right] = [a.split(/(\d+)/), b.split(/(\d+)/)];
  for (let index = 0; index < Math.min(left.length, right.length); index += 1) {
    const [x = "", y = ""] = [left[index], right[index]];
    if (x === y) continue;
    return index % 2 === 1 ? Number(x) - Number(y) : x < y ? -1 : 1;
  }
  return left.length - right.length;
}
