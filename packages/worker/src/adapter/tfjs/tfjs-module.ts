/** A layers model of TensorFlow.js as a module. */
import { ForeignParameter, type StateDict, UsageError } from "@rankcast/core";
import { KeyedModule, quote } from "@rankcast/core/runtime";
import { registerBatchCounter } from "../batch-counter.ts";
import { ForeignVariable, showStateDict } from "./foreign-variable.ts";
import { imageBefore } from "./image-before.ts";
import { LAYER_WEIGHTS } from "./layer-weights.ts";
import type { TfjsLayer, TfjsLayersModel, TfjsLayerVariable } from "./layers-model.ts";
import type { TfjsLayout } from "./layout.ts";

/** Where a weight goes. */
export interface TfjsWeightName {
  /** Its full name in the state dict. */
  readonly name: string;
  readonly layout: TfjsLayout;
}

/** How a model's layers are called in torch. */
export interface TfjsModuleOptions {
  /** torch's path of the module that a layer stands for; the layer's own name when absent. */
  readonly names?: Readonly<Record<string, string>> | ((layer: string) => string);
  /** Decides for one weight (its last name component: `kernel`), before the rules of the layer's class; undefined leaves it to them. */
  readonly weights?: (layer: string, weight: string, shape: readonly (number | null)[]) => TfjsWeightName | undefined;
}

/**
 * A layers model under torch's names, shapes and order of elements. Loads put the weights into the model; `stateDict()` shows them as they
 * are now, without a copy on the cpu backend. What the two libraries compute differently stays the program's business: give
 * `BatchNormalization` torch's `epsilon: 1e-5`.
 */
export class TfjsModule<Model extends TfjsLayersModel = TfjsLayersModel> extends KeyedModule {
  /** The model itself. */
  readonly model: Model;

  /** @throws {UsageError} RANKCAST_ADAPTER_LAYER for a layer whose weights no rule speaks of; give `weights` for it. */
  constructor(model: Model, options: TfjsModuleOptions = {}) {
    super("TfjsModule");
    this.model = model;
    registerLayers(this, model.layers, "", options);
  }

  override stateDict(): StateDict {
    return showStateDict(super.stateDict());
  }
}

function registerLayers(root: KeyedModule, layers: readonly TfjsLayer[], prefix: string, options: TfjsModuleOptions): void {
  for (const layer of layers) {
    const path = prefix + nameOf(layer.name, options);
    if (layer.layers) registerLayers(root, layer.layers, `${path}.`, options);
    else if (layer.weights.length > 0) registerLayer(root, layer, path, options);
  }
}

function nameOf(layer: string, { names }: TfjsModuleOptions): string {
  if (typeof names === "function") return names(layer);
  return names && Object.hasOwn(names, layer) ? (names[layer] ?? layer) : layer;
}

function registerLayer(root: KeyedModule, layer: TfjsLayer, path: string, options: TfjsModuleOptions): void {
  for (const variable of layer.weights) {
    const { name: key, layout } = options.weights?.(layer.name, lastName(variable), variable.shape) ?? ruleFor(layer, variable, path);
    const [owner, name] = root.ownerOf(key);
    const place = {
      name: variable.name,
      dtype: variable.dtype,
      shape: variable.shape,
      read: () => variable.read(),
      write: (tensor: ReturnType<TfjsLayerVariable["read"]>) => void variable.write(tensor),
    };
    const requiresGrad = variable.trainable && variable.dtype === "float32";
    owner.registerParameter(name, new ForeignParameter(new ForeignVariable(place, layout), { requiresGrad }));
  }
  if (layer.getClassName() === "BatchNormalization") registerBatchCounter(root, path);
}

function lastName({ originalName }: TfjsLayerVariable): string {
  return originalName.slice(originalName.lastIndexOf("/") + 1);
}

function ruleFor(layer: TfjsLayer, variable: TfjsLayerVariable, path: string): TfjsWeightName {
  const rule = LAYER_WEIGHTS.get(layer.getClassName())?.find(({ from }) => from === lastName(variable));
  if (rule === undefined) {
    const text = `no rule for ${quote(variable.originalName)} of a ${quote(layer.getClassName())} layer: its name and layout in torch are unknown`;
    throw new UsageError("RANKCAST_ADAPTER_LAYER", text, { details: { layer: layer.name, weight: variable.originalName } });
  }
  const name = path === "" ? rule.to : `${path}.${rule.to}`;
  const featureAxis = rule.layout === "dense" || (rule.layout === "same" && variable.shape.length === 1 && rule.from !== "bias");
  const image = featureAxis ? imageBefore(layer) : null;
  return { name, layout: image && (rule.layout === "dense" || rule.layout === "same") ? { flattened: rule.layout, image } : rule.layout };
}
