/** A model whose every element has the same value after every update: one that shows two values was torn. */
import { Module, Parameter } from "@rankcast/core";

/** Elements of each of its two parameters; many pages, so that a torn update shows. */
export const ELEMENTS = 200_000;

/** Builds it without memory: the first weights give it theirs. */
export function createReplica(): Module {
  const model = new Module();
  model.registerParameter("left", Parameter.meta("float32", [ELEMENTS]));
  model.registerParameter("right", Parameter.meta("float32", [ELEMENTS]));
  return model;
}

/** The values it holds, each once; null before the first weights. */
export function distinctValues(model: Module): number[] | null {
  const parameters = [...model.stateDict().values()];
  if (parameters.some((tensor) => tensor.isMeta)) return null;
  return [...new Set(parameters.flatMap((tensor) => [...new Set(tensor.data as Float32Array)]))];
}

/** A step that writes into the weights, as training does, and takes its time. */
export function scribble(model: Module, milliseconds: number): void {
  const [left] = [...model.stateDict().values()];
  if (left && !left.isMeta) (left.data as Float32Array).fill(-1, 0, 1000);
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

/** A step that lasts until the flag is set, and then says what each parameter holds. */
export function whenTold(model: Module, flag: Int32Array): Record<string, number[]> {
  Atomics.wait(flag, 0, 0);
  return Object.fromEntries([...model.stateDict()].map(([name, tensor]) => [name, [...new Set(tensor.data as Float32Array)]]));
}

/** Ends the replica's thread, as `process.exit` in a library does. */
export function exit(_: Module, code: number): never {
  process.exit(code);
}
