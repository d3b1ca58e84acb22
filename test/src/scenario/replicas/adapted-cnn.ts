/** The CNN of test/torch/make_adapter_models.py as a replica of a pool; `options` names the library that holds it. */
import { readFileSync } from "node:fs";
import type { Module } from "@rankcast/core";
import type { ReplicaContext } from "@rankcast/worker";
import { adapterFixture, expectedOf, transposed } from "../../worker/adapter/adapter-models.js";

/** A library's model and how it computes. */
interface Adapted {
  readonly model: Module;
  forward(): Promise<ArrayLike<number>>;
}

// Each library is imported by the replicas that use it only: tests of one must not depend on the others.
const LIBRARIES: Readonly<Record<string, () => Promise<Adapted>>> = { "tensor-map": plainArrays, tfjs, onnx, "jax-js": jax };
const FORWARD = new WeakMap<Module, Adapted["forward"]>();

/** Called once per thread. */
export async function createReplica({ options }: ReplicaContext): Promise<Module> {
  const { model, forward } = (await LIBRARIES[String(options)]?.()) ?? {};
  if (!model || !forward) throw new Error(`no library ${String(options)}`);
  FORWARD.set(model, forward);
  return model;
}

/** What the model answers to the recorded inputs. */
export async function forward(model: Module): Promise<number[]> {
  return Array.from((await FORWARD.get(model)?.()) ?? []);
}

/** Weights that are looked at where they were published, by name. */
export function adopted(model: Module): string[] {
  return [...model.stateDict()].flatMap(([name, { storage }]) => (storage.buffer instanceof SharedArrayBuffer ? [name] : []));
}

async function plainArrays(): Promise<Adapted> {
  const { TensorMapModule } = await import("@rankcast/worker/tensor-map");
  const { loadCheckpoint } = await import("@rankcast/core");
  const { plainCnn } = await import("../../worker/adapter/plain-forward.js");
  const checkpoint = await loadCheckpoint(adapterFixture("cnn.pt"));
  const declared = [...checkpoint.stateDict].map(([key, { shape, dtype }]) => [key.slice("module.".length), { shape, dtype }] as const);
  const model = new TensorMapModule(declared);
  await checkpoint.close();
  return { model, forward: async () => plainCnn(model.weights, expectedOf("cnn").inputs.data) };
}

async function tfjs(): Promise<Adapted> {
  const tf = await import("@tensorflow/tfjs-core");
  const { TfjsModule } = await import("@rankcast/worker/tfjs");
  const { tfjsCnn } = await import("../../worker/adapter/tfjs-models.js");
  await tf.setBackend("cpu");
  const model = new TfjsModule(tfjsCnn());
  const { data, shape } = transposed(expectedOf("cnn").inputs, [0, 2, 3, 1]);
  return { model, forward: async () => (model.model.predict(tf.tensor(data, shape)) as import("@tensorflow/tfjs-core").Tensor).dataSync() };
}

async function onnx(): Promise<Adapted> {
  const ort = await import("onnxruntime-web");
  const { OnnxModule } = await import("@rankcast/worker/onnx");
  ort.env.wasm.numThreads = 1;
  const model = new OnnxModule(await ort.InferenceSession.create(readFileSync(adapterFixture("cnn.onnx"))), { inputs: ["x"] });
  const { data, shape } = expectedOf("cnn").inputs;
  const x = new ort.Tensor("float32", Float32Array.from(data), shape);
  return { model, forward: async () => (await model.run({ x }))["y"]?.data as Float32Array };
}

async function jax(): Promise<Adapted> {
  const { defaultDevice, init } = await import("@jax-js/jax");
  const { JaxModule } = await import("@rankcast/worker/jax-js");
  const { arrayOf, cnn, zerosLike } = await import("../../worker/adapter/jax-models.js");
  await init("wasm");
  defaultDevice("wasm");
  const model = new JaxModule(await zerosLike("cnn.pt"));
  return { model, forward: () => cnn(model.params, arrayOf(expectedOf("cnn").inputs)).data() };
}
