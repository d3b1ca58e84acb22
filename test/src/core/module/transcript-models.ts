/** Builds in our terms what a recorded transcript says torch was given. */
import { castTensor, type DType, Module, ModuleWrapper, Parameter, StateDict, Tensor } from "@rankcast/core";
import { metaTensor } from "@rankcast/core/internal";

/** Element type, shape, and the number that the values follow from. */
export type TensorSpec = readonly [dtype: DType, shape: readonly number[], base: number, transposed?: boolean];

/** A module as recorded; `shared` points into the case's list. */
export type ModuleSpec =
  | null
  | { readonly shared: number }
  | {
      readonly type: string;
      readonly entries: readonly (readonly ["parameter" | "buffer" | "hidden", string, TensorSpec | TiedSpec | null])[];
      readonly children: readonly (readonly [string, ModuleSpec])[];
      readonly hooks: readonly (readonly string[])[];
      readonly features?: number;
      readonly bases?: readonly number[];
      /** How many wrappers stand around it. */
      readonly wrapped?: number;
    };

/** A parameter that several modules hold; the number points into the case's list. */
export type TiedSpec = readonly ["tied", number];

/** What torch did. */
export interface RecordedResult {
  readonly mode: "strict" | "lenient" | "assign";
  readonly error: string | null;
  readonly missing?: readonly string[];
  readonly unexpected?: readonly string[];
  readonly after?: Readonly<Record<string, readonly [DType | "state", unknown, unknown?]>>;
  readonly grads?: readonly string[];
}

/** One line of a transcript. */
export interface RecordedCase {
  readonly seed: number;
  readonly module: ModuleSpec;
  readonly shared: readonly ModuleSpec[];
  readonly tied?: readonly TensorSpec[];
  readonly meta: boolean;
  readonly entries: readonly (readonly [key: string, kind: "tensor" | "state" | "other", value: TensorSpec | string])[];
  readonly metadata: readonly (readonly [string, number])[] | null;
  readonly results: readonly RecordedResult[];
}

/** The tensor that `base` stands for; `make_transcripts.py` makes the same one. */
export function valuesFrom([dtype, shape, base, transposed]: TensorSpec): Tensor {
  const stored = transposed ? shape.toReversed() : shape;
  const count = stored.reduce((product, size) => product * size, 1);
  const numbers = Array.from({ length: count }, (_, at) => (base % 120) + at + (base % 2 ? 0.5 : 0));
  const tensor = makeTensor(dtype, numbers, stored, base);
  return transposed ? new Tensor({ ...tensor, shape, stride: tensor.stride.toReversed() }) : tensor;
}

function makeTensor(dtype: DType, numbers: readonly number[], shape: readonly number[], base: number): Tensor {
  if (dtype === "bool") {
    return Tensor.from(
      Uint8Array.from(numbers, (_, at) => (base + at) % 2),
      shape,
      { dtype },
    );
  }
  if (dtype === "complex64") {
    return Tensor.from(Float32Array.from(numbers.flatMap((number) => [number, number + 0.25])), shape, { dtype });
  }
  return castTensor(Tensor.from(Float64Array.from(numbers), shape), dtype);
}

/** A recorded model. */
export class TranscriptModel {
  readonly #shared: readonly ModuleSpec[];
  readonly #tied: readonly TensorSpec[];
  readonly #made = new Map<number, Module | null>();
  readonly #madeTied = new Map<number, Parameter>();
  readonly #meta: boolean;

  constructor(recorded: RecordedCase) {
    this.#shared = recorded.shared;
    this.#tied = recorded.tied ?? [];
    this.#meta = recorded.meta;
  }

  build(spec: ModuleSpec): Module | null {
    if (spec === null) return null;
    if ("shared" in spec) {
      const known = this.#made.get(spec.shared);
      const made = known ?? this.build(this.#shared[spec.shared] ?? null);
      this.#made.set(spec.shared, made);
      return made;
    }
    const module = new Module({ typeName: spec.type, version: spec.type === "BatchNorm1d" ? 2 : 1 });
    if (spec.type === "BatchNorm1d") this.#fillBatchNorm(module, spec.features ?? 1, spec.bases ?? []);
    if (spec.type === "LazyLinear") for (const name of ["weight", "bias"]) module.registerParameter(name, Parameter.meta("float32", null));
    if (spec.type === "Extra") addExtraState(module);
    for (const [what, name, tensor] of spec.entries) this.#addEntry(module, what, name, tensor);
    for (const [name, child] of spec.children) module.registerModule(name, this.build(child));
    for (const hook of spec.hooks) addHook(module, hook);
    let outermost = module;
    for (let wrapper = 0; wrapper < (spec.wrapped ?? 0); wrapper += 1) outermost = new ModuleWrapper(outermost);
    return outermost;
  }

  #place(tensor: Tensor): Tensor {
    return this.#meta ? metaTensor(tensor.dtype, tensor.shape) : tensor;
  }

  #addEntry(module: Module, what: string, name: string, spec: TensorSpec | TiedSpec | null): void {
    if (spec?.[0] === "tied") {
      module.registerParameter(name, this.#tiedParameter(spec[1]));
      return;
    }
    const tensor = spec && this.#place(valuesFrom(spec));
    if (what === "parameter") module.registerParameter(name, tensor && new Parameter(tensor));
    else module.registerBuffer(name, tensor, { persistent: what === "buffer" });
  }

  #tiedParameter(number: number): Parameter {
    const parameter = this.#madeTied.get(number) ?? new Parameter(valuesFrom(this.#tied[number] ?? ["float32", [], 0]));
    this.#madeTied.set(number, parameter);
    return parameter;
  }

  #fillBatchNorm(module: Module, features: number, bases: readonly number[]): void {
    const tensor = (at: number): Tensor => this.#place(valuesFrom(["float32", [features], bases[at] ?? 0]));
    module.registerParameter("weight", new Parameter(tensor(0)));
    module.registerParameter("bias", new Parameter(tensor(1)));
    module.registerBuffer("running_mean", tensor(2));
    module.registerBuffer("running_var", tensor(3));
    module.registerBuffer("num_batches_tracked", this.#place(Tensor.from(BigInt64Array.of(BigInt(bases[4] ?? 0)), [])));
  }
}

function addExtraState(module: Module): void {
  let state: unknown = "old";
  module.getExtraState = () => state;
  module.setExtraState = (next) => {
    state = next;
  };
}

function addHook(module: Module, [what, name = "", renamed = ""]: readonly string[]): void {
  if (what === "forgive") {
    module.registerLoadPostHook((_, { missing }) => {
      missing.splice(0, missing.length, ...missing.filter((key) => !key.includes(name)));
    });
    return;
  }
  module.registerLoadPreHook(({ stateDict, prefix }) => {
    const value = stateDict.get(prefix + name);
    if (!stateDict.delete(prefix + name) || !value) return;
    if (what === "rename") stateDict.set(prefix + renamed, value);
  });
}

const OTHERS: Readonly<Record<string, unknown>> = { list: [1], int: 3, str: "text", NoneType: null };

/** A recorded state dict; values that are no tensors are put in as they are. */
export function transcriptStateDict(recorded: RecordedCase): StateDict {
  const stateDict = new StateDict();
  for (const [key, kind, value] of recorded.entries) {
    if (kind === "state") stateDict.extraState.set(key, value);
    else stateDict.set(key, kind === "tensor" ? valuesFrom(value as TensorSpec) : (OTHERS[value as string] as Tensor));
  }
  for (const [path, version] of recorded.metadata ?? []) stateDict.metadata.set(path, { version });
  return stateDict;
}

/** torch's type names in error texts, and ours. */
const TYPES: readonly (readonly [string, string])[] = [
  ["<class 'list'>", "Array"],
  ["<class 'int'>", "number"],
  ["<class 'str'>", "string"],
  ["<class 'NoneType'>", "null"],
];

/** A recorded text with our names of types. */
export function inOurWords(text: string): string {
  return TYPES.reduce((all, [theirs, ours]) => all.replaceAll(theirs, ours), text);
}

/** Flat values as the transcript writes them. */
export function flatValues(tensor: Tensor): unknown[] {
  const wide = castTensor(tensor, tensor.dtype === "complex64" ? "complex128" : "float64").contiguous();
  const flat = [...(wide.data as Float64Array)];
  if (tensor.dtype !== "complex64") return flat;
  return Array.from({ length: flat.length / 2 }, (_, at) => [flat[2 * at], flat[2 * at + 1]]);
}
