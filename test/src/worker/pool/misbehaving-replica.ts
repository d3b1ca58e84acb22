/** A replica module whose functions do what user code does to a thread on a bad day. Small: two tensors of the fixture. */
import { readFileSync } from "node:fs";
import { threadId } from "node:worker_threads";
import { Module, Parameter, StateDict, StateDictError, Tensor } from "@rankcast/core";
import type { ReplicaContext } from "@rankcast/worker";

/** What tests pass as `options`. */
export interface Misbehaviour {
  /** What replica `replica` does while it is being built. */
  readonly building?: "throw" | "loop" | "hang" | "exit" | "out-of-memory";
  /** What a load hook does. */
  readonly loading?: "exit" | "loop" | "out-of-memory" | "throw-symbol";
  /** Which replica misbehaves. Default 1. */
  readonly replica?: number;
}

/** Builds the model, or misbehaves. */
export function createReplica({ replica, options }: ReplicaContext): Module {
  const { building, loading, replica: who = 1 } = (options ?? {}) as Misbehaviour;
  if (building && replica === who) misbehave(building);
  const model = new Module({ typeName: "Net" });
  const fc = new Module();
  fc.registerParameter("weight", Parameter.meta("float32", [2, 3]));
  fc.registerParameter("bias", Parameter.meta("float32", [2]));
  model.registerModule("fc", fc);
  if (loading && replica === who) model.registerLoadPreHook(() => misbehave(loading));
  return model;
}

function misbehave(how: NonNullable<Misbehaviour["building"] | Misbehaviour["loading"]>): undefined {
  switch (how) {
    case "throw":
      throw new RangeError("cannot be built");
    case "throw-symbol":
      throw Symbol.for("thrown by a hook");
    case "exit":
      return process.exit(7);
    case "loop":
      return void loop();
    case "hang":
      return void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    case "out-of-memory":
      return void outOfMemory();
  }
}

/** Never ends. */
export function loop(): void {
  for (;;);
}

/** Fills the thread's heap. */
export function outOfMemory(): void {
  const kept: unknown[] = [];
  for (;;) kept.push(new Array(100_000).fill({}));
}

/** Ends the thread. */
export function exit(_model: Module, code: number): void {
  process.exit(code);
}

/** An error that nobody catches, while a call runs. */
export function throwLater(_model: Module, what: string): Promise<void> {
  setTimeout(() => throwUncaught(what), 1);
  return new Promise(() => undefined);
}

/** An error that nobody catches, when the test says so on a channel of this name: between calls. */
export function throwWhenTold(_model: Module, { what, channel }: { readonly what: string; readonly channel: string }): void {
  new BroadcastChannel(channel).onmessage = () => throwUncaught(what);
}

function throwUncaught(what: string): void {
  if (what === "rejection") void Promise.reject(new RangeError("nobody caught it"));
  else throw thrownThing(what);
}

/** Reads a path to its end, synchronously: a thread in a system call. */
export function readSync(_model: Module, path: string): number {
  return readFileSync(path).length;
}

/** Throws something. */
export function fail(_model: Module, what: string): never {
  throw thrownThing(what);
}

function thrownThing(what: string): unknown {
  class ShapeError extends TypeError {
    override readonly name = "ShapeError";
    readonly axis = 2;
  }
  switch (what) {
    case "type-error":
      return new TypeError("wrong type");
    case "subclass":
      return new ShapeError("wrong shape");
    case "ours":
      return new StateDictError("RANKCAST_STATE_DICT_STRICT", "not strict", { details: { key: "fc" }, cause: new RangeError("deep") });
    case "rich":
      return Object.assign(new AggregateError([new RangeError("first")], "rich", { cause: { at: new Date(7) } }), { step: 5n });
    case "symbol":
      return Symbol.for("thrown");
    case "map":
      return new Map([["at", new Float32Array([1, 2])]]);
    case "nothing":
      return undefined;
    case "unprintable":
      return Object.create(null);
    default:
      return what;
  }
}

/** The argument itself. */
export function echo(_model: Module, value: unknown): unknown {
  return value;
}

/** A function, which cannot cross. */
export function giveFunction(): unknown {
  return { inner: [() => 1] };
}

/** Names of the classes that arrived, and what changed in them when this thread writes. */
export function classesOf(_model: Module, values: readonly unknown[]): string[] {
  return values.map((value) =>
    value instanceof StateDict ? "StateDict" : value instanceof Tensor ? "Tensor" : (value?.constructor.name ?? `${value}`),
  );
}

/** The state dict itself: views of mapped memory. */
export function state(model: Module): StateDict {
  return model.stateDict();
}

/** A raw view of mapped memory. */
export function rawBias(model: Module): unknown {
  return model.stateDict().get("fc.bias")?.data;
}

/** Writes every value of the bias: what training does. */
export function train(model: Module, value: number): number[] {
  const bias = model.stateDict().get("fc.bias")?.data as Float32Array;
  bias.fill(value);
  return [...bias];
}

/** The replica's values. */
export function values(model: Module): number[][] {
  return [...model.stateDict().values()].map((tensor) => [...tensor.toFloat32Array()]);
}

/** Which thread this is. */
export function thread(): number {
  return threadId;
}

const order: unknown[] = [];

/** Remembers its argument after a while; the order in which calls ran. */
export async function remember(_model: Module, { what, ms }: { readonly what: unknown; readonly ms: number }): Promise<unknown[]> {
  await new Promise((resolve) => setTimeout(resolve, ms));
  order.push(what);
  return order;
}
