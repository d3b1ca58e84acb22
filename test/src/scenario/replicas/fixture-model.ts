/** The model that `accepted/torch-zip/state_dict_t213.pt` was saved from, for replica threads. */
import { threadId } from "node:worker_threads";
import { digestTensor, loadStateDict, Module, Parameter, Tensor } from "@rankcast/core";

/** Builds it without memory: the first load gives it the checkpoint's. */
export function createReplica(): Module {
  const model = new Module({ typeName: "Net" });
  model.registerModule("conv", withParameters({ weight: [2, 1, 3, 3], bias: [2] }));
  const norm = withParameters({ weight: [2], bias: [2] }, 2);
  norm.registerBuffer("running_mean", Tensor.from(new Float32Array(2), [2]));
  norm.registerBuffer("running_var", Tensor.from(new Float32Array([1, 1]), [2]));
  norm.registerBuffer("num_batches_tracked", Tensor.from(new BigInt64Array(1), []));
  model.registerModule("bn", norm);
  model.registerModule("fc", withParameters({ weight: [2, 3], bias: [2] }));
  return model;
}

/** SHA-256 per tensor, in the order of the state dict; what torch was asked for the fixture. */
export function tensorDigests(model: Module): [name: string, sha256: string][] {
  return [...model.stateDict()].map(([name, tensor]) => [name, digestTensor(tensor)]);
}

/** Multiplies a tensor in place: what a training step does to its own replica. */
export function scale(model: Module, { name, factor }: { readonly name: string; readonly factor: number }): number[] {
  const values = model.stateDict().get(name)?.data as Float32Array;
  for (let at = 0; at < values.length; at += 1) values[at] = (values[at] ?? 0) * factor;
  return [...values];
}

/** Values of one tensor. */
export function valuesOf(model: Module, name: string): number[] {
  return [...(model.stateDict().get(name)?.toFloat32Array() ?? [])];
}

/** Where the replica lives. */
export function whereAmI(): { readonly pid: number; readonly threadId: number } {
  return { pid: process.pid, threadId };
}

/** Fails as user code may. */
export function fail(_: Module, message: string): never {
  throw new TypeError(message);
}

function withParameters(shapes: Readonly<Record<string, readonly number[]>>, version = 1): Module {
  const module = new Module({ version });
  for (const [name, shape] of Object.entries(shapes)) module.registerParameter(name, Parameter.meta("float32", shape));
  return module;
}

let target: Module | null = null;

/** What a target network does: takes the weights as they are now, and keeps them. */
export function keepTarget(model: Module): void {
  target ??= createReplica();
  loadStateDict(target, model.stateDict(), { strict: true });
}

/** What the target holds. */
export function targetValues(_: Module, name: string): number[] {
  return [...(target?.stateDict().get(name)?.toFloat32Array() ?? [])];
}
