/** A replica that ends in every way a thread can; for `pool.ts`. */
import { Module, Parameter } from "@rankcast/core";

/** One small layer of the example's network. */
export function createReplica(): Module {
  const head = new Module();
  head.registerParameter("weight", Parameter.meta("float32", [64, 512]));
  head.registerParameter("bias", Parameter.meta("float32", [64]));
  const model = new Module();
  model.registerModule("head", head);
  return model;
}

/** The argument itself. */
export function echo(_model: Module, value: unknown): unknown {
  return value;
}

/** Ends the thread. */
export function exit(): void {
  process.exit(1);
}

/** An error that nobody catches. */
export function throwUncaught(): Promise<void> {
  setImmediate(() => {
    throw new Error("nobody catches this");
  });
  return new Promise(() => undefined);
}

/** Fills the heap. */
export function outOfMemory(): void {
  const kept: unknown[] = [];
  for (;;) kept.push(new Array(100_000).fill({}));
}

/** Never ends. */
export function loop(): void {
  for (;;);
}
