/** The part of a state dict under a prefix. */
import { StateDictError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { StateDict } from "../tensor/state-dict.ts";
import type { StateDictLike } from "./draft-plan.ts";

/** Top-level prefixes named in the message. */
const PREFIXES_MAX = 20;

/**
 * Entries whose keys start with `prefix` and a dot, without it; metadata and extra state go with them. `conv2d` does not match `conv2d_2.w`
 * (semantics B11).
 * @throws {StateDictError} RANKCAST_SELECT_SUBTREE when nothing lies under it; the message lists what there is.
 */
export function selectSubtree(stateDict: StateDictLike, prefix: string): StateDict {
  const dotted = prefix.endsWith(".") ? prefix : `${prefix}.`;
  const part = new StateDict();
  copyUnder(stateDict as ReadonlyMap<string, unknown>, part as Map<string, unknown>, dotted);
  if ("extraState" in stateDict) copyUnder(stateDict.extraState, part.extraState, dotted);
  if (part.size === 0 && part.extraState.size === 0) throw nothingUnder(stateDict, dotted);
  if ("metadata" in stateDict) {
    copyUnder(stateDict.metadata, part.metadata, dotted);
    const own = stateDict.metadata.get(dotted.slice(0, -1));
    if (own) part.metadata.set("", own);
  }
  return part;
}

function copyUnder<T>(from: ReadonlyMap<string, T>, to: Map<string, T>, dotted: string): void {
  for (const [key, value] of from) if (key.startsWith(dotted)) to.set(key.slice(dotted.length), value);
}

function nothingUnder(stateDict: StateDictLike, dotted: string): StateDictError {
  const present = new Set<string>();
  for (const key of stateDict.keys()) {
    present.add(key.split(".", 1)[0] ?? key);
    if (present.size > PREFIXES_MAX) break;
  }
  const prefixes = [...present];
  return new StateDictError(
    "RANKCAST_SELECT_SUBTREE",
    `${dotted} is not in the pretrained model; its keys start with ${prefixes.slice(0, PREFIXES_MAX).map(quote).join(", ")}${prefixes.length > PREFIXES_MAX ? ", …" : ""}`,
    { details: { subtree: dotted, prefixes } },
  );
}
