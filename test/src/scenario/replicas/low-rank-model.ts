/** A layer with a low-rank adapter beside its weight. */
import { Module, Parameter } from "@rankcast/core";

/** Elements of the weight, and of each of the adapter's two parts. */
export const WEIGHT_ELEMENTS = 200_000;
export const PART_ELEMENTS = 40_000;

/** Builds it without memory: the first weights give it theirs. */
export function createReplica(): Module {
  const layer = new Module();
  layer.registerParameter("weight", Parameter.meta("float32", [WEIGHT_ELEMENTS]));
  layer.registerParameter("lora_a", Parameter.meta("float32", [PART_ELEMENTS]));
  layer.registerParameter("lora_b", Parameter.meta("float32", [PART_ELEMENTS]));
  const model = new Module();
  model.registerModule("layer", layer);
  return model;
}

/** A step of training that changes the weight and one part: every 1000th element becomes `value`. */
export function train(model: Module, value: number): void {
  for (const name of ["layer.weight", "layer.lora_b"]) {
    const values = model.stateDict().get(name)?.data as Float32Array;
    for (let index = 0; index < values.length; index += 1000) values[index] = value;
  }
}
