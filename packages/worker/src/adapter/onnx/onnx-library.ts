/** The only file that knows ONNX Runtime: its common part, which onnxruntime-node and onnxruntime-web share. */
import type { InferenceSession, Tensor } from "onnxruntime-common";
import { importPeer } from "../import-peer.ts";

/** A tensor of the library. */
export type OnnxTensor = Tensor;
/** A loaded model, of onnxruntime-node or onnxruntime-web. */
export type OnnxSession = InferenceSession;
/** What an input is declared as. */
export type OnnxInput = InferenceSession.TensorValueMetadata;

/** The library; importing this file rejects with RANKCAST_ADAPTER_PEER where it is not installed. */
const ort: typeof import("onnxruntime-common") = await importPeer("onnx", "onnxruntime-common", () => import("onnxruntime-common"));

/** A tensor over `values`, not copied. */
export function onnxTensor(type: Tensor.Type, values: Tensor.DataType, shape: readonly number[]): OnnxTensor {
  return new ort.Tensor(type, values, shape);
}
