/** The only file that knows TensorFlow.js. */
import type * as TfjsCore from "@tensorflow/tfjs-core";
import { importPeer } from "../import-peer.ts";

/** A tensor or variable of the library. */
export type TfjsTensor = TfjsCore.Tensor;
/** A variable of the library. */
export type TfjsVariable = TfjsCore.Variable;
/** A typed array that the library takes as it is. */
export type TfjsArray = Float32Array | Int32Array | Uint8Array;

/** The library; importing this file rejects with RANKCAST_ADAPTER_PEER where it is not installed. */
const tf: typeof TfjsCore = await importPeer("tfjs", "@tensorflow/tfjs-core", () => import("@tensorflow/tfjs-core"));

/** Whether tensors live in memory that JavaScript sees: `dataSync` then shows it instead of copying (tfjs-backend-cpu, `readSync`). */
export function seesMemory(): boolean {
  return tf.getBackend() === "cpu";
}

/** How many tensors and variables look at the memory of this name. */
export function sharersOf(dataId: object): number {
  return tf.engine().backend.refCount(dataId);
}

/** What the cpu backend knows of one memory (tfjs-backend-cpu, `TensorData`). */
interface CpuMemory {
  values: TfjsArray;
}

/** Lets whoever looks at the memory of this name go on with a copy of its own; for the cpu backend. */
export function moveSharers(dataId: object): void {
  const { data } = tf.engine().backend as unknown as { readonly data: { get(dataId: object): CpuMemory } };
  const memory = data.get(dataId);
  memory.values = memory.values.slice();
}

/** Gives `assign` a tensor over `values` and lets go of it afterwards; the variable it was assigned to keeps the memory. */
export function withTensor(
  values: TfjsArray,
  shape: readonly number[],
  dtype: TfjsTensor["dtype"],
  assign: (tensor: TfjsTensor) => void,
): void {
  const tensor = tf.tensor(values, [...shape], dtype);
  try {
    assign(tensor);
  } finally {
    tensor.dispose();
  }
}
