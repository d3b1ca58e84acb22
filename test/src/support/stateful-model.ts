/** Modules that keep extra state, and what they were given in the words of test/torch/make_extra_state.py. */
import { ComplexValue, KeyTuple, Module, OpaqueValue, Parameter, Tensor } from "@rankcast/core";

/** A module that keeps one value beside a weight. */
export class Stateful extends Module {
  state: unknown = "fresh";

  constructor() {
    super();
    this.registerParameter("weight", Parameter.meta("float32", [4]));
  }

  override getExtraState(): unknown {
    return this.state;
  }

  override setExtraState(state: unknown): void {
    this.state = state;
  }
}

/** A model of such modules. */
export class StatefulModel extends Module {
  readonly parts = new Map<string, Stateful>();

  constructor(names: readonly string[]) {
    super();
    for (const name of names) {
      const part = new Stateful();
      this.parts.set(name, part);
      this.registerModule(name, part);
    }
  }

  get states(): Map<string, unknown> {
    return new Map([...this.parts].map(([name, { state }]) => [name, state]));
  }
}

/** A value in the words of the recording. */
export function plain(value: unknown): unknown {
  if (value === null || typeof value === "boolean" || typeof value === "string") return value;
  if (typeof value === "number") return Number.isFinite(value) ? value : { float: value > 0 ? "inf" : "-inf" };
  if (typeof value === "bigint") return { integer: String(value) };
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString("hex") };
  if (value instanceof ComplexValue) return { complex: [value.re, value.im] };
  if (value instanceof Tensor) return { tensor: [value.dtype, value.shape, elementsOf(value)] };
  if (value instanceof Map)
    return { dict: [...value].map(([key, each]) => [key instanceof KeyTuple ? { tuple: key.parts } : key, plain(each)]) };
  if (Array.isArray(value)) return { sequence: value.map(plain) };
  return value instanceof OpaqueValue ? { object: value.global } : { unknown: String(value) };
}

/** Row-major. */
function elementsOf(tensor: Tensor): number[] {
  return Array.from(tensor.contiguous().data as ArrayLike<number | bigint>, Number);
}

/** A value per module. */
export function plainStates(states: ReadonlyMap<string, unknown>): unknown {
  return Object.fromEntries([...states].map(([name, state]) => [name, plain(state)]));
}
