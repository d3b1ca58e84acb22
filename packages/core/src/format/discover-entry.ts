/**
 * Which file of a directory to begin with. A directory is a checkpoint by what lies in it, not by what a search would turn up: whoever names a
 * folder of downloads must not get whichever weights are found first.
 */
import { FormatError } from "../errors/checkpoint-error.ts";
import { printable, quote } from "../errors/quote.ts";

/** What transformers and diffusers look for, in their order; a name in front wins over one behind it. */
const STANDARD_NAMES = [
  "model.safetensors",
  "model.safetensors.index.json",
  "diffusion_pytorch_model.safetensors",
  "diffusion_pytorch_model.safetensors.index.json",
  "adapter_model.safetensors",
  "pytorch_model.bin",
  "pytorch_model.bin.index.json",
  "diffusion_pytorch_model.bin",
  "diffusion_pytorch_model.bin.index.json",
  "adapter_model.bin",
] as const;

/** Patterns tried in order; the first that fits any file must fit exactly one. */
const PATTERNS: readonly RegExp[] = [
  // torch.distributed.checkpoint
  /^\.metadata$/,
  // The same of ranks that saved without talking to each other; the first stands for all.
  /^__0\.metadata$/,
  /\.safetensors\.index\.json$/,
  /\.safetensors\.index\.[\w-]+\.json$/,
  /\.bin\.index\.json$/,
  /\.bin\.index\.[\w-]+\.json$/,
  // DeepSpeed's pointer to the newest checkpoint; a finished model beside it is the better choice and was tried before.
  /^latest$/,
  // torch.distributed.checkpoint in safetensors files has no index: any shard stands for the directory.
  /^shard-00001-model-00001-of-\d{5}\.safetensors$/,
  // TensorFlow.js
  /^model\.json$/,
  /^(?!.*-\d{5,6}-of-\d{5,6}\.).*\.safetensors$/,
  /^(?!.*-\d{5,6}-of-\d{5,6}\.).*\.(pt|pth|ckpt|bin|npz|npy|gguf|pkl|tar)$/,
];

/** What trainers write beside the weights. */
export const COMPANION = /^(optimizer|scheduler|scaler|training_args|rng_state(_\d+)?)\.(pt|pth|bin)$/;

/** Files that are parts of something else, which an index or metadata describe. */
export const PART = /\.distcp$|-\d{5,6}-of-\d{5,6}\./;

/** What diffusers writes beside the folders of a pipeline's models. The one mark of a directory whose weights lie one folder down. */
const PIPELINE = "model_index.json";

const NAMED_MAX = 20;

const LOOKED_FOR =
  "model.safetensors or another of transformers' and diffusers' names, an *.index.json, .metadata (torch.distributed.checkpoint), " +
  "latest (DeepSpeed), model.json (TensorFlow.js), or one file *.safetensors, *.pt, *.pth, *.ckpt, *.bin, *.npz, *.npy, *.gguf, *.pkl, *.tar";

/**
 * The entry file among `names` (relative, sorted): one in the directory itself, or, of a pipeline of diffusers, one in its folders.
 * @throws {FormatError} RANKCAST_ENTRY_AMBIGUOUS naming the candidates, RANKCAST_ENTRY_PARTS for parts without their index,
 * RANKCAST_ENTRY_NONE when nothing in it looks like a checkpoint, naming those one folder down.
 */
export function discoverEntry(names: readonly string[], directory: string): string {
  const top = names.filter((name) => !name.includes("/"));
  const below = names.filter((name) => name.includes("/"));
  const entry = findEntry(top, (name) => name, directory) ?? (top.includes(PIPELINE) ? findEntry(below, baseName, directory) : null);
  if (entry !== null) return entry;
  const parts = top.filter((name) => PART.test(name));
  if (parts.length > 0) {
    throw entryError("RANKCAST_ENTRY_PARTS", directory, `${parts.length} parts of a checkpoint, but not the index that joins them`, parts);
  }
  throw noEntry(top, below, directory);
}

function baseName(name: string): string {
  return name.slice(name.indexOf("/") + 1);
}

function noEntry(top: readonly string[], below: readonly string[], directory: string): FormatError {
  const lower = below.filter((name) => isEntryName(baseName(name)));
  if (lower.length === 0)
    return entryError("RANKCAST_ENTRY_NONE", directory, "no checkpoint among its files", top, `Looked for ${LOOKED_FOR}.`);
  const remedy = `Pass one of these, or its folder. In the directory itself was looked for ${LOOKED_FOR}.`;
  return entryError("RANKCAST_ENTRY_NONE", directory, "no checkpoint among its files, but one folder down there are", lower, remedy);
}

function isEntryName(name: string): boolean {
  return !COMPANION.test(name) && ((STANDARD_NAMES as readonly string[]).includes(name) || PATTERNS.some((pattern) => pattern.test(name)));
}

function findEntry(names: readonly string[], baseOf: (name: string) => string, directory: string): string | null {
  for (const standard of STANDARD_NAMES) {
    const found = onlyOne(
      names.filter((name) => baseOf(name) === standard),
      directory,
    );
    if (found !== null) return refuseRival(found, names, baseOf, directory);
  }
  for (const pattern of PATTERNS) {
    const fitting = names.filter((name) => pattern.test(baseOf(name)) && !COMPANION.test(baseOf(name)));
    const found = onlyOne(fitting, directory);
    if (found !== null) return found;
  }
  return null;
}

/** A distributed checkpoint beside a finished model may be older or newer: the caller must say which. */
function refuseRival(found: string, names: readonly string[], baseOf: (name: string) => string, directory: string): string {
  const rival = names.find((name) => baseOf(name) === ".metadata");
  return rival === undefined ? found : (onlyOne([found, rival], directory) ?? found);
}

function onlyOne(candidates: readonly string[], directory: string): string | null {
  if (candidates.length <= 1) return candidates[0] ?? null;
  throw entryError("RANKCAST_ENTRY_AMBIGUOUS", directory, `${candidates.length} files could be the one to load`, candidates);
}

function entryError(
  code: "RANKCAST_ENTRY_AMBIGUOUS" | "RANKCAST_ENTRY_PARTS" | "RANKCAST_ENTRY_NONE",
  directory: string,
  text: string,
  names: readonly string[],
  remedy?: string,
): FormatError {
  const shown = names.slice(0, NAMED_MAX);
  const list = shown.length === 0 ? "" : `: ${shown.map(quote).join(", ")}${names.length > shown.length ? ", ..." : ""}`;
  return new FormatError(code, `${printable(directory)}: ${text}${list}`, {
    details: { file: directory, candidates: shown },
    ...(remedy === undefined ? {} : { remedy }),
  });
}
