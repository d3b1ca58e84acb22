/** What a module may be made of, checked where it is given: a wrong part would show much later, in a load. */
import { UsageError } from "../errors/checkpoint-error.ts";
import { describeFound } from "../errors/require-options.ts";

/**
 * Judged by what modules do rather than by `instanceof`, which a second copy of this package would fail.
 * @throws {UsageError} RANKCAST_USAGE when `value` is no module.
 */
export function requireModule(value: unknown, name = "model"): void {
  if (!hasMethods(value, "unwrapped", "stateDict")) refuse(name, "a Module", value);
}

/** @throws {UsageError} RANKCAST_USAGE when `value` is no parameter; a tensor must be put into one. */
export function requireParameter(value: unknown, name: string): void {
  if (!(hasMethods(value, "replace") && "held" in (value as object))) refuse(name, "a Parameter or null", value);
}

/** @throws {UsageError} RANKCAST_USAGE when `value` is no tensor. */
export function requireTensor(value: unknown, name: string): void {
  if (!hasMethods(value, "contiguous")) refuse(name, "a Tensor or null", value);
}

function hasMethods(value: unknown, ...names: readonly string[]): boolean {
  return typeof value === "object" && value !== null && names.every((name) => typeof Reflect.get(value, name) === "function");
}

function refuse(name: string, expected: string, found: unknown): never {
  throw new UsageError("RANKCAST_USAGE", `${name} must be ${expected}, not ${describeFound(found)}`, {
    details: { option: name, expected },
  });
}
