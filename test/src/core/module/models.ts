/** Small models and state dicts for the loading tests. */
import { type DType, Module, Parameter, StateDict, Tensor } from "@rankcast/core";

/** A float32 tensor with the values 0, 1, 2, … plus `from`. */
export function ramp(shape: readonly number[], from = 0): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  return Tensor.from(
    Float32Array.from({ length: count }, (_, at) => from + at),
    shape,
  );
}

/** A state dict of float32 tensors from shapes; values start at 100. */
export function checkpoint(shapes: Readonly<Record<string, readonly number[]>>): StateDict {
  return new StateDict(Object.entries(shapes).map(([key, shape]) => [key, ramp(shape, 100)]));
}

/** A module with float32 parameters of the given shapes, all zero. */
export function withParameters(shapes: Readonly<Record<string, readonly number[]>>, typeName = "Net"): Module {
  const module = new Module({ typeName });
  for (const [name, shape] of Object.entries(shapes)) module.registerParameter(name, zeros(shape));
  return module;
}

/** An allocated parameter of zeros. */
export function zeros(shape: readonly number[]): Parameter {
  return new Parameter(Tensor.from(new Float32Array(shape.reduce((product, size) => product * size, 1)), shape));
}

/** torch's `nn.Linear`. */
export function linear(inputs: number, outputs: number): Module {
  return withParameters({ weight: [outputs, inputs], bias: [outputs] }, "Linear");
}

/** torch's `nn.BatchNorm1d`; `counter` is the model's batch counter. */
export function batchNorm(features: number, counter = 0n): Module {
  const module = new Module({ typeName: "BatchNorm1d", version: 2 });
  module.registerParameter("weight", zeros([features]));
  module.registerParameter("bias", zeros([features]));
  module.registerBuffer("running_mean", ramp([features]));
  module.registerBuffer("running_var", ramp([features]));
  module.registerBuffer("num_batches_tracked", Tensor.from(BigInt64Array.of(counter), []));
  return module;
}

/** A module with children. */
export function nest(children: Readonly<Record<string, Module | null>>, typeName = "Net"): Module {
  const module = new Module({ typeName });
  for (const [name, child] of Object.entries(children)) module.registerModule(name, child);
  return module;
}

/** Every value of the model's state dict. */
export function valuesOf(module: Module): Record<string, number[]> {
  return Object.fromEntries([...module.stateDict()].map(([key, tensor]) => [key, [...tensor.toFloat32Array()]]));
}

/** A tensor of another type with the given raw array. */
export function typed(dtype: DType, array: Parameters<typeof Tensor.from>[0], shape: readonly number[]): Tensor {
  return Tensor.from(array, shape, { dtype });
}

/** What `run` throws. */
export function failureOf(run: () => unknown): Error & { readonly code?: string; readonly details: Readonly<Record<string, unknown>> } {
  try {
    run();
  } catch (error) {
    return error as Error & { readonly details: Readonly<Record<string, unknown>> };
  }
  throw new Error("nothing was thrown");
}
