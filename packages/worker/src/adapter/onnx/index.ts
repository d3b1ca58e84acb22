/** Public names of @rankcast/worker/onnx: models of ONNX Runtime whose weights are inputs. */

export type { OnnxSession, OnnxTensor } from "./onnx-library.ts";
export { OnnxModule, type OnnxModuleOptions } from "./onnx-module.ts";
