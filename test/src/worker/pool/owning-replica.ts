/** A model whose parameters have memory of their own, filled with ones: a load writes into it. */
import { type DType, digestTensor, Module, Parameter, Storage, Tensor } from "@rankcast/core";
import type { ReplicaContext } from "@rankcast/worker";

/** Names and shapes of the parameters. */
export const OWNING_SHAPES: readonly (readonly [name: string, shape: readonly number[]])[] = [
  ["embedding", [1024, 1024]],
  ["head", [512, 2048]],
  ["scale", [7]],
];

/** Builds it. */
export function createReplica({ options }: ReplicaContext): Module {
  const { dtype = "float32", meta = false } = (options ?? {}) as { readonly dtype?: DType; readonly meta?: boolean };
  const model = new Module();
  for (const [name, shape] of OWNING_SHAPES) {
    const count = shape.reduce((product, each) => product * each, 1);
    if (meta) model.registerParameter(name, Parameter.meta(dtype, shape));
    else model.registerParameter(name, new Parameter(new Tensor({ dtype, shape, storage: ones(count) })));
  }
  return model;
}

function ones(count: number): Storage {
  return new Storage(new Float32Array(count).fill(1).buffer, 0, count * 4);
}

/** Digest of each parameter. */
export function digests(model: Module): string[] {
  return [...model.stateDict().values()].map((tensor) => (tensor.isMeta ? "meta" : `${tensor.dtype} ${digestTensor(tensor)}`));
}
