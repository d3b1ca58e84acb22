/** The renaming of a state dict's names and module paths, as a plan: computed once, applied by whoever holds the tensors. */
import { StateDictError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import type { CompiledRevKeys } from "./compile-rev-keys.ts";
import { type Clock, NameRewriter } from "./rewrite-names.ts";

/** Two names that became one. */
export interface NameCollision {
  readonly name: string;
  /** What they were called before, in order. */
  readonly sources: readonly [string, string];
  /** The rule that made them equal, from 0; -1 when they were equal from the start. */
  readonly rule: number;
}

/** What became of names. */
export interface RevisedNames<Metadata> {
  /** The new name of each given one, in the given order. */
  readonly names: readonly string[];
  /**
   * New name and number of the given one, each name once. Where names collide the last one wins, at the place of the first, as in
   * `OrderedDict((re.sub(...), value) ...)`.
   */
  readonly entries: readonly (readonly [name: string, index: number])[];
  /** How many have another name now. */
  readonly renamed: number;
  readonly collisions: readonly NameCollision[];
  /** Module paths, renamed by the same rules, to what was stored with them. */
  readonly metadata: Map<string, Metadata>;
}

/**
 * Applies the rules, in order and each to the result of the one before, to `names` and to the paths of `metadataModules`. Does not throw for
 * collisions; see `requireNoCollision`.
 * @throws {StateDictError} RANKCAST_REV_KEY_RUNAWAY when matching takes too long.
 * @throws {FormatError} RANKCAST_LIMIT when a name grows above `tensorNameBytes`.
 */
export function reviseNames<Metadata>(
  names: readonly string[],
  metadataModules: Iterable<readonly [path: string, metadata: Metadata]>,
  compiled: CompiledRevKeys,
  options: { readonly now?: Clock } = {},
): RevisedNames<Metadata> {
  const rewriter = new NameRewriter(compiled, options.now ?? (() => performance.now()));
  const revised = [...names];
  for (const rule of compiled.rules) rewriter.apply(rule, revised);
  // Names that are equal after one rule stay equal, so one look at the end finds every collision; who caused it is asked only then.
  const distinct = new Set(revised).size === revised.length;
  const { entries, collisions } = distinct
    ? { entries: revised.map((name, index) => [name, index] as const), collisions: [] }
    : mergeStepwise(names, compiled, rewriter);
  const renamed = names.reduce((count, name, index) => (name === revised[index] ? count : count + 1), 0);
  return { names: revised, entries, renamed, collisions, metadata: revisePaths(metadataModules, compiled, rewriter) };
}

/**
 * Refuses a renaming in which names collide.
 * @throws {StateDictError} RANKCAST_REV_KEY_COLLISION naming both sources, the new name and the rule, for up to ten collisions.
 */
export function requireNoCollision(
  { collisions }: Pick<RevisedNames<unknown>, "collisions">,
  { source }: Pick<CompiledRevKeys, "source">,
): void {
  if (collisions.length === 0) return;
  const lines = collisions.slice(0, COLLISIONS_SHOWN).map(({ name, sources: [first, second], rule }) => {
    const [pattern, replacement] = source[rule] ?? [];
    const cause = rule < 0 ? "" : ` by rule ${rule + 1}, ${quote(String(pattern))} => ${quote(String(replacement))}`;
    return `${quote(first)} and ${quote(second)} both become ${quote(name)}${cause}`;
  });
  const more = collisions.length > COLLISIONS_SHOWN ? [`and ${collisions.length - COLLISIONS_SHOWN} more`] : [];
  throw new StateDictError("RANKCAST_REV_KEY_COLLISION", [...lines, ...more].join("; "), {
    details: {
      count: collisions.length,
      collisions: collisions.slice(0, COLLISIONS_SHOWN).map(({ name, sources, rule }) => ({ name, sources, rule })),
    },
  });
}

const COLLISIONS_SHOWN = 10;

/** One rule at a time, each with a dict of its own, which is how collisions merge in Python. */
function mergeStepwise(
  names: readonly string[],
  compiled: CompiledRevKeys,
  rewriter: NameRewriter,
): Pick<RevisedNames<unknown>, "entries" | "collisions"> {
  const collisions: NameCollision[] = [];
  const merge = (entries: Iterable<readonly [string, number]>, rule: number) => {
    const merged = new Map<string, number>();
    for (const [name, index] of entries) {
      const before = merged.get(name);
      if (before !== undefined) collisions.push({ name, sources: [names[before] as string, names[index] as string], rule });
      merged.set(name, index);
    }
    return [...merged];
  };
  let entries = merge(
    names.map((name, index) => [name, index] as const),
    -1,
  );
  for (const rule of compiled.rules) {
    const rewritten = entries.map(([name]) => name);
    rewriter.apply(rule, rewritten);
    entries = merge(
      entries.map(([, index], at) => [rewritten[at] as string, index] as const),
      rule.index,
    );
  }
  // The name shown is the final one, which later rules may have changed for both alike.
  const last = new Map(entries.map(([name, index]) => [names[index], name] as const));
  return { entries, collisions: collisions.map((each) => ({ ...each, name: last.get(each.sources[1]) ?? each.name })) };
}

/**
 * A module's path is renamed like the beginning of its parameters' names: `module.bn` as `module.bn.`. What then is neither empty nor ends with
 * a dot says nothing about a module, and the path stays. A renamed path takes the place of an untouched one: `module` becomes the root, and
 * what a wrapper stored for its own root is not about it.
 */
function revisePaths<Metadata>(
  metadataModules: Iterable<readonly [string, Metadata]>,
  compiled: CompiledRevKeys,
  rewriter: NameRewriter,
): Map<string, Metadata> {
  const modules = [...metadataModules];
  const prefixes = modules.map(([path]) => (path === "" ? "" : `${path}.`));
  const revised = [...prefixes];
  for (const rule of compiled.rules) rewriter.apply(rule, revised);
  const metadata = new Map<string, Metadata>();
  const moved = new Set<string>();
  modules.forEach(([path, value], at) => {
    const prefix = revised[at] as string;
    const isMoved = prefix !== prefixes[at] && (prefix === "" || prefix.endsWith("."));
    const target = isMoved ? prefix.slice(0, -1) : path;
    if (!isMoved && moved.has(target)) return;
    metadata.set(target, value);
    if (isMoved) moved.add(target);
  });
  return metadata;
}
