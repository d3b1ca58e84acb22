/** Finding the one prefix edit that would make the most keys match: `module.`, `model.`, `backbone.` and their like. */
import { sameShape } from "../tensor/strides.ts";
import type { PrefixEdit } from "./replica-report.ts";

/** Keys with their shapes; null for a shape that is still open or not known. */
export type KeyShapes = ReadonlyMap<string, readonly number[] | null>;

/** Candidates come from this many keys of each side: a prefix that matters is on most of them. */
const SAMPLES_MAX = 64;
/** Missing keys that are indexed by their remainders: enough for any real model, a bound for the rest. */
const INDEXED_MAX = 32_768;
/** Components a prefix may have; the longest in the wild has four (`state_dict.model.module.backbone.`). */
const PREFIX_COMPONENTS_MAX = 6;
/** Candidates that are counted in full, most frequent first. */
const CANDIDATES_MAX = 16;

interface Candidate {
  readonly from: string;
  readonly to: string;
  votes: number;
}

/**
 * The edit `^from` → `to` on checkpoint keys with the largest gain, or undefined when none gains. A key counts as matching only if the
 * shapes agree; an edit that would give two keys one name is none. Cost: samples × components look-ups for candidates, then one pass over the checkpoint's keys for each of at most 16.
 */
export function suggestPrefixEdit(checkpoint: KeyShapes, model: KeyShapes): PrefixEdit | undefined {
  const unexpected = [...checkpoint.keys()].filter((key) => !model.has(key));
  const missing = [...model.keys()].filter((key) => !checkpoint.has(key));
  if (unexpected.length === 0 || missing.length === 0) return undefined;
  const candidates = collectCandidates(sample(unexpected, SAMPLES_MAX), sample(missing, INDEXED_MAX));
  let best: { from: string; to: string; gain: number } | undefined;
  for (const { from, to } of candidates) {
    const gain = gainOf(checkpoint, model, from, to);
    if (gain > 0 && (best === undefined || gain > best.gain)) best = { from, to, gain };
  }
  return best && { pattern: `^${escapePattern(best.from)}`, replacement: best.to.replace(/\\/g, "\\\\"), gain: best.gain };
}

/** Every k-th key, so that all parts of the model have a voice. */
function sample(keys: readonly string[], count: number): string[] {
  const step = Math.max(1, Math.floor(keys.length / count));
  return keys.filter((_, at) => at % step === 0).slice(0, count);
}

/** Pairs of prefixes whose remainders agree, by number of samples that agree. */
function collectCandidates(samples: readonly string[], missing: readonly string[]): Candidate[] {
  const byRemainder = new Map<string, string[]>();
  for (const key of missing) {
    for (const [prefix, remainder] of splits(key)) {
      const prefixes = byRemainder.get(remainder);
      if (prefixes === undefined) byRemainder.set(remainder, [prefix]);
      else if (prefixes.length < SAMPLES_MAX) prefixes.push(prefix);
    }
  }
  const candidates = new Map<string, Candidate>();
  for (const key of samples) {
    for (const [from, remainder] of splits(key)) {
      for (const to of byRemainder.get(remainder) ?? []) vote(candidates, from, to);
    }
  }
  return [...candidates.values()].sort((a, b) => b.votes - a.votes || a.from.length - b.from.length).slice(0, CANDIDATES_MAX);
}

function vote(candidates: Map<string, Candidate>, from: string, to: string): void {
  const name = JSON.stringify([from, to]);
  const known = candidates.get(name);
  if (known) known.votes += 1;
  else candidates.set(name, { from, to, votes: 1 });
}

/** A key cut at each of its first dots: `["", "a.b.c"]`, `["a.", "b.c"]`, `["a.b.", "c"]`. */
function* splits(key: string): Generator<[prefix: string, remainder: string]> {
  yield ["", key];
  for (let cut = key.indexOf("."), parts = 1; cut >= 0 && parts <= PREFIX_COMPONENTS_MAX; cut = key.indexOf(".", cut + 1), parts += 1) {
    yield [key.slice(0, cut + 1), key.slice(cut + 1)];
  }
}

function gainOf(checkpoint: KeyShapes, model: KeyShapes, from: string, to: string): number {
  let gain = 0;
  for (const [key, shape] of checkpoint) {
    if (!key.startsWith(from)) continue;
    const renamed = to + key.slice(from.length);
    // Such a rule would be refused as a collision.
    if (checkpoint.has(renamed) && !renamed.startsWith(from)) return 0;
    gain += Number(fits(model, renamed, shape)) - Number(fits(model, key, shape));
  }
  return gain;
}

function fits(model: KeyShapes, key: string, shape: readonly number[] | null): boolean {
  const wanted = model.get(key);
  if (wanted === undefined) return false;
  return wanted === null || shape === null || sameShape(wanted, shape);
}

/** Escapes what Python's `re` and JavaScript's both read as syntax. */
function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}
