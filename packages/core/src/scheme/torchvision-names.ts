/** Every published weight of torchvision by name, and the names older code uses. Needs no network code. */
import { nearestNames } from "../errors/nearest-names.ts";
import { TORCHVISION_BASE, TORCHVISION_TABLE } from "./torchvision-table.ts";
import { unknownModel } from "./unknown-model.ts";

type Table = typeof TORCHVISION_TABLE;
/** The names for completion; any spelling `resolveTorchvision` understands is accepted. */
export type TorchvisionModel = { [name in keyof Table]: `${name}.${"default" | (keyof Table[name]["weights"] & string)}` }[keyof Table];

/** A name of the table and its file. */
export interface TorchvisionWeights {
  /** `<enum>.<member>`, lower case. */
  readonly key: string;
  readonly url: string;
  /** First digits of the file's SHA-256, from its name. */
  readonly sha256Prefix: string;
  /** Whether the prefix is proved to be one: torchvision checks names with a dash, four older ones have an underscore. */
  readonly enforced: boolean;
  /** What to tell somebody who used an old name. */
  readonly notice?: string;
}

const MODELS = new Map<string, { readonly default: string; readonly weights: Readonly<Record<string, string>> }>(
  Object.entries(TORCHVISION_TABLE),
);

/** Names of mmengine's torchvision 0.12 table that are not `<enum>` itself. Its two entries without a file are here too. */
const LEGACY = new Map([
  ["inception_v3_google", "inception_v3"],
  ["shufflenetv2_x0.5", "shufflenet_v2_x0_5"],
  ["shufflenetv2_x1.0", "shufflenet_v2_x1_0"],
  ["shufflenetv2_x1.5", "shufflenet_v2_x1_5"],
  ["shufflenetv2_x2.0", "shufflenet_v2_x2_0"],
]);

/** All 287 names, `<enum>.<member>` and `<enum>.default`, with their URLs: vis4d's and mmengine's `get_torchvision_models`, completed. */
export function getTorchvisionModels(): Record<string, string> {
  const models: Record<string, string> = {};
  for (const [name, model] of MODELS) {
    models[`${name}.default`] = urlOf(model.weights[model.default]);
    for (const [member, file] of Object.entries(model.weights)) models[`${name}.${member}`] = urlOf(file);
  }
  return models;
}

/**
 * Finds weights by name: `resnet50.imagenet1k_v2`, `ResNet50_Weights.IMAGENET1K_V2`, `resnet50.default`, `quantized_resnet50.default`, or a bare
 * `resnet50`, which has always meant the V1 weights.
 * @throws {SourceError} RANKCAST_MODEL_UNKNOWN with the nearest names.
 */
export function resolveTorchvision(name: string): TorchvisionWeights {
  const wanted = name
    .toLowerCase()
    .replaceAll("_weights", "")
    .replace(/^quantized_(\w+)/, "$1_quantizedweights");
  const dot = wanted.lastIndexOf(".");
  const model = MODELS.get(wanted.slice(0, dot));
  const member = wanted.slice(dot + 1);
  const file = dot < 0 || model === undefined ? undefined : lookUp(model, member);
  if (file !== undefined) return describe(wanted, file);
  const legacy = LEGACY.get(wanted) ?? wanted;
  const old = MODELS.get(legacy)?.weights["imagenet1k_v1"];
  if (old === undefined) throw unknownModel("torchvision://", name, nearestTo(wanted));
  const key = `${legacy}.imagenet1k_v1`;
  return { ...describe(key, old), notice: `torchvision://${name} is an old name and means ${key}; ${legacy}.default may be newer` };
}

function lookUp(
  model: { readonly default: string; readonly weights: Readonly<Record<string, string>> },
  member: string,
): string | undefined {
  const named = member === "default" ? model.default : member;
  return Object.hasOwn(model.weights, named) ? model.weights[named] : undefined;
}

function describe(key: string, file: string): TorchvisionWeights {
  const [, separator, prefix = ""] = /([-_])([0-9a-f]+)\.pth$/.exec(file) ?? [];
  return { key, url: urlOf(file), sha256Prefix: prefix, enforced: separator === "-" };
}

function urlOf(file: string | undefined): string {
  return `${TORCHVISION_BASE}${file}`;
}

/** A member is as long as most models' names and would outweigh a mistake in them: models are compared alone, then completed. */
function nearestTo(wanted: string): string[] {
  const [model = ""] = wanted.split(".");
  const members = Object.keys(MODELS.get(model)?.weights ?? {});
  return members.length > 0
    ? members.map((member) => `${model}.${member}`)
    : nearestNames(model, MODELS.keys()).map((each) => `${each}.default`);
}
