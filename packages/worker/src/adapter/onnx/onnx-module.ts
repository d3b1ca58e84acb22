/** A session of ONNX Runtime as a module. */
import { type DType, ForeignParameter, UsageError } from "@rankcast/core";
import { KeyedModule, quote } from "@rankcast/core/runtime";
import { registerBatchCounter } from "../batch-counter.ts";
import type { OnnxInput, OnnxSession, OnnxTensor } from "./onnx-library.ts";
import { OnnxWeight } from "./onnx-weight.ts";

/** Which inputs of a session are weights. */
export interface OnnxModuleOptions {
  /** Names of the inputs that are data; every other input is a weight. */
  readonly inputs: readonly string[];
  /** Names in the state dict of weights that the graph calls otherwise. */
  readonly names?: ReadonlyMap<string, string>;
}

const DTYPES: ReadonlySet<string> = new Set([
  "float32",
  "float64",
  "float16",
  "int8",
  "int16",
  "int32",
  "int64",
  "uint8",
  "uint16",
  "uint32",
  "uint64",
  "bool",
]);

/**
 * A session whose weights are inputs, because ONNX Runtime cannot exchange a session's own: `torch.onnx.export(model, …,
 * export_params=False, do_constant_folding=False, training=TrainingMode.PRESERVE)` writes such a graph, with the names of the state dict.
 * Loads change what the next run is fed with; nothing is copied before the run.
 */
export class OnnxModule extends KeyedModule {
  /** The session itself. */
  readonly session: OnnxSession;
  readonly #weights: ReadonlyMap<string, OnnxWeight>;

  /** @throws {UsageError} RANKCAST_ADAPTER_LAYER when a weight has no fixed shape or a type that no tensor has, or `inputs` names no input. */
  constructor(session: OnnxSession, options: OnnxModuleOptions) {
    super("OnnxModule");
    this.session = session;
    const strangers = options.inputs.filter((name) => !session.inputNames.includes(name));
    if (strangers.length > 0) throw unfit(`the model has no input ${strangers.map(quote).join(", ")}`, strangers[0] ?? "");
    const weights = new Map<string, OnnxWeight>();
    for (const input of session.inputMetadata) {
      if (!options.inputs.includes(input.name)) weights.set(input.name, this.#register(input as OnnxInput, options));
    }
    this.#weights = weights;
  }

  #register(input: OnnxInput, { names }: OnnxModuleOptions): OnnxWeight {
    const { name: inputName, isTensor, type, shape } = input;
    if (!isTensor || !DTYPES.has(type) || shape.some((size) => typeof size !== "number")) {
      throw unfit(`input ${quote(inputName)} cannot be a weight: ${isTensor ? `${type} [${shape}]` : "no tensor"}`, inputName);
    }
    const weight = new OnnxWeight(type as DType, shape as readonly number[]);
    const key = names?.get(inputName) ?? inputName;
    const [owner, name] = this.ownerOf(key);
    owner.registerParameter(name, new ForeignParameter(weight, { requiresGrad: false }));
    if (name === "running_var") registerBatchCounter(this, key.slice(0, -name.length - 1));
    return weight;
  }

  /** The weights by input name, as they are now: spread them into the feeds of a run. */
  get feeds(): Record<string, OnnxTensor> {
    return Object.fromEntries([...this.#weights].map(([name, weight]) => [name, weight.fed]));
  }

  /** Runs the session with the weights as they are now. Rejects as `session.run`. */
  run(inputs: Readonly<Record<string, OnnxTensor>>): ReturnType<OnnxSession["run"]> {
    return this.session.run({ ...this.feeds, ...inputs });
  }
}

function unfit(text: string, weight: string): UsageError {
  return new UsageError("RANKCAST_ADAPTER_LAYER", text, {
    details: { weight: weight.slice(0, 200) },
    remedy: "Name the inputs that are data in `inputs`; weights need a fixed shape and an element type that torch has.",
  });
}
