/** Asserts on typed errors. */
import { CheckpointError } from "@rankcast/core";
import { expect } from "chai";

/** Waits for `action` to fail with a CheckpointError of this code and returns it. */
export async function expectError(code: string, action: Promise<unknown> | (() => unknown)): Promise<CheckpointError> {
  let thrown: unknown;
  try {
    await (typeof action === "function" ? action() : action);
  } catch (error) {
    thrown = error;
  }
  if (!(thrown instanceof CheckpointError)) throw thrown ?? new Error(`expected ${code}, but nothing was thrown`);
  expect(thrown.code).to.equal(code);
  return thrown;
}
