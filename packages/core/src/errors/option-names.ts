/** Options that nobody reads: a misspelled name would otherwise be as good as none. */
import { UsageError } from "./checkpoint-error.ts";
import { nearestNames } from "./nearest-names.ts";
import { quote } from "./quote.ts";

/**
 * Refuses an object of options that has a name which `known` does not; names whose value is undefined count as absent.
 * @throws {UsageError} RANKCAST_USAGE naming `call`, the name, and the nearest known one.
 */
export function checkOptionNames(call: string, options: unknown, known: Readonly<Record<string, true>>): void {
  if (options === undefined) return;
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new UsageError("RANKCAST_USAGE", `the options of ${call} must be an object, not ${options === null ? "null" : typeof options}`, {
      details: { call },
    });
  }
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined && !Object.hasOwn(known, name)) throw unknownOption(call, name, Object.keys(known));
  }
}

function unknownOption(call: string, name: string, known: readonly string[]): UsageError {
  const [nearest] = nearestNames(name, known, 1);
  const elsewhere = ELSEWHERE.get(name);
  const hint = elsewhere ?? (nearest === undefined ? undefined : `Did you mean ${nearest}?`);
  return new UsageError("RANKCAST_USAGE", `${call} has no option ${quote(name)}; it has ${known.join(", ")}`, {
    details: { call, option: name, known, ...(nearest === undefined ? {} : { nearest }) },
    ...(hint === undefined ? {} : { remedy: hint }),
  });
}

/** Names that other calls take, and what does the same here. */
const ELSEWHERE: ReadonlyMap<string, string> = new Map([
  ["revKeys", "Use reviseKeys(checkpoint.stateDict, revKeys) on what was loaded, or loadModelCheckpoint, which takes revKeys."],
  ["mapLocation", "Give mapLocation to the call that reads the checkpoint."],
]);
