/** A model whose parameters have no memory and are float32 (or what `options` says), whatever the checkpoint has. */
import { castTensor, type DType, digestTensor, Module, Parameter } from "@rankcast/core";
import type { ReplicaContext } from "@rankcast/worker";

/** Names and sizes of the parameters; two matrices of `rows` rows. */
export const shapesOf = (rows: number): readonly (readonly [name: string, shape: readonly number[]])[] => [
  ["embedding", [rows, 1024]],
  ["head", [rows, 1024]],
  ["scale", [7]],
];

/** Builds it. */
export function createReplica({ replica, options }: ReplicaContext): Module {
  const { dtype = "float32", other, rows } = options as { readonly dtype?: DType; readonly other?: DType; readonly rows: number };
  const model = new Module();
  for (const [name, shape] of shapesOf(rows))
    model.registerParameter(name, Parameter.meta(replica === 1 ? (other ?? dtype) : dtype, shape));
  return model;
}

/** Digest of each parameter. */
export function digests(model: Module): string[] {
  return [...model.stateDict().values()].map((tensor) => `${tensor.dtype} ${digestTensor(tensor)}`);
}

/** Fills the small parameter. */
export function write(model: Module, value: number): void {
  const values = model.stateDict().get("scale")?.data;
  if (values instanceof Float32Array) values.fill(value);
}

/** The small parameter. */
export function scale(model: Module): number[] {
  const tensor = model.stateDict().get("scale");
  return tensor ? [...castTensor(tensor, "float32").toFloat32Array()] : [];
}

/** What user code may hand out of the small parameter: a tensor, its elements, a state dict. */
export function handOut(model: Module): { readonly tensor: unknown; readonly elements: unknown; readonly stateDict: unknown } {
  const stateDict = model.stateDict();
  const tensor = stateDict.get("scale");
  return { tensor, elements: tensor?.data, stateDict };
}
