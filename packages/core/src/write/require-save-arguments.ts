/** The check that every writer begins with: nothing is created for arguments that cannot be meant. */
import { StateDictError } from "../errors/checkpoint-error.ts";
import {
  describeFound,
  FUNCTION,
  OBJECT,
  type OptionShapes,
  requireArgument,
  requireOptions,
  SIGNAL,
  TEXT,
} from "../errors/require-options.ts";

const SAVE_SHAPES: OptionShapes = new Map([
  ["signal", SIGNAL],
  ["onProgress", FUNCTION],
  ["metadata", { expected: "a Map or a plain object of strings", fits: (value) => value instanceof Map || OBJECT.fits(value) }],
]);

/**
 * @throws {UsageError} RANKCAST_USAGE for a path or an option that is none; {StateDictError} RANKCAST_STATE_DICT_TYPE for what is no Map.
 */
export function requireSaveArguments(path: unknown, stateDict: unknown, options: unknown): void {
  requireArgument("path", path, TEXT);
  requireOptions(options, SAVE_SHAPES);
  if (stateDict instanceof Map) return;
  throw new StateDictError("RANKCAST_STATE_DICT_TYPE", `Expected state_dict to be dict-like, got ${describeFound(stateDict)}.`);
}
