/** A replica module: what `rankcast load --model` and `createPool({ replica })` take. */
import { Module, Parameter, Tensor } from "@rankcast/core";
import type { ReplicaContext } from "@rankcast/worker";

/** The network of `assets/make_checkpoint.py`. Parameters are unallocated: they become views of the shared weights. */
export function createReplica(_context: ReplicaContext): Module {
  const model = new Module();
  model.registerModule("conv1", layer({ weight: [16, 3, 3, 3] }));
  model.registerModule("norm1", batchNorm(16));
  model.registerModule("conv2", layer({ weight: [32, 16, 3, 3] }));
  model.registerModule("norm2", batchNorm(32));
  model.registerModule("head", layer({ weight: [64, 512], bias: [64] }));
  return model;
}

/** `pool.run("meanWeight", "head")`: any exported function may be called in the replica's thread. */
export function meanWeight(model: Module, name: string): number {
  const weight = model.stateDict().get(`${name}.weight`);
  if (!weight) throw new Error(`no layer ${name}`);
  const values = weight.toFloat32Array();
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** What a bug does: never ends. A pool with `timeoutMs` ends it. */
export function spin(): void {
  for (;;);
}

function layer(shapes: Readonly<Record<string, readonly number[]>>): Module {
  const module = new Module();
  for (const [name, shape] of Object.entries(shapes)) module.registerParameter(name, Parameter.meta("float32", shape));
  return module;
}

function batchNorm(channels: number): Module {
  const module = layer({ weight: [channels], bias: [channels] });
  module.registerBuffer("running_mean", Tensor.from(new Float32Array(channels), [channels]));
  module.registerBuffer("running_var", Tensor.from(new Float32Array(channels).fill(1), [channels]));
  module.registerBuffer("num_batches_tracked", Tensor.from(new BigInt64Array(1), []));
  return module;
}
