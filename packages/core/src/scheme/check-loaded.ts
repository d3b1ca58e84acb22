/** What a scheme's loader may return. Loaders are foreign code: what they return is checked where it comes in. */
import { UsageError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import type { ResolvedSource } from "../source/byte-source.ts";
import { StateDict } from "../tensor/state-dict.ts";
import { Tensor } from "../tensor/tensor.ts";

/** `loaded` itself. @throws {UsageError} RANKCAST_SCHEME_RESULT, naming the scheme and what came instead. */
export function checkLoaded(loaded: unknown, scheme: string): ResolvedSource | StateDict {
  if (loaded instanceof StateDict) {
    for (const [key, tensor] of loaded as ReadonlyMap<unknown, unknown>) {
      if (typeof key !== "string") throw wrongResult(scheme, `a StateDict whose key ${quote(String(key))} is no string`);
      if (!(tensor instanceof Tensor)) throw wrongResult(scheme, `a StateDict whose ${quote(key)} is ${describe(tensor)}`);
    }
    return loaded;
  }
  if (!isResolved(loaded)) throw wrongResult(scheme, describe(loaded));
  return loaded;
}

function isResolved(value: unknown): value is ResolvedSource {
  if (typeof value !== "object" || value === null) return false;
  const { name, entry, siblings, subtree, close } = value as Partial<Record<keyof ResolvedSource, unknown>>;
  return (
    typeof name === "string" &&
    (entry === null || hasMethods(entry, ["readInto", "close"])) &&
    hasMethods(siblings, ["list", "open", "close"]) &&
    (subtree === undefined || typeof subtree === "string") &&
    typeof close === "function"
  );
}

function hasMethods(value: unknown, names: readonly string[]): boolean {
  return (
    typeof value === "object" && value !== null && names.every((name) => typeof (value as Record<string, unknown>)[name] === "function")
  );
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value !== "object") return `a ${typeof value}`;
  const maker: unknown = value.constructor;
  return typeof maker === "function" && maker !== Object ? `a ${maker.name}` : "an object that is no source of files";
}

function wrongResult(scheme: string, found: string): UsageError {
  return new UsageError("RANKCAST_SCHEME_RESULT", `the loader of ${quote(scheme)} returned ${found}, expected files or a StateDict`, {
    details: { scheme, found },
  });
}
