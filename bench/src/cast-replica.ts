/** Float32 parameters without memory; the last replica may want another type, so that nobody casts for all. */
import { type DType, Module, Parameter } from "@rankcast/core";
import type { ReplicaContext } from "@rankcast/worker";

/** One matrix. */
export function createReplica({ replica, options }: ReplicaContext): Module {
  const { rows, odd } = options as { readonly rows: number; readonly odd: number };
  const dtype: DType = replica === odd ? "float64" : "float32";
  const model = new Module();
  model.registerParameter("weight", Parameter.meta(dtype, [rows, 1024]));
  return model;
}
