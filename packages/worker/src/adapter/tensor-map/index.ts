/** Public names of @rankcast/worker/tensor-map: models that are plain typed arrays under names. */
export { fromTensorMap, toTensorMap } from "./convert-tensor-map.ts";
export type { TensorMap, TensorMapEntry } from "./tensor-map.ts";
export { TensorMapModule } from "./tensor-map-module.ts";
