/** A part of a state dict by prefix of its names. */
import { StateDictError } from "../errors/checkpoint-error.ts";
import { printable, quote } from "../errors/quote.ts";
import { FlatTensors } from "./flat-tensors.ts";
import type { FlatTree } from "./flatten-tree.ts";

const PREFIXES_NAMED_MAX = 20;

/**
 * What lies below `prefix`, which is taken off. Whole segments only: `conv2d` does not match `conv2d_2` (mmengine's rule).
 * @throws {StateDictError} RANKCAST_SELECT_SUBTREE when no tensor does; lists the prefixes there are.
 */
export function keepSubtree(flat: FlatTree, prefix: string, file: string): FlatTree {
  const start = prefix.endsWith(".") || prefix === "" ? prefix : `${prefix}.`;
  const below = (name: string): boolean => name.startsWith(start);
  const cut = (name: string): string => name.slice(start.length);
  // Who asks for a part of extra state wants its tensors as such.
  const isInside = flat.extraState.some(([key]) => start.startsWith(`${key}.`));
  const tensors = new FlatTensors();
  for (const { name, ref, extra } of flat.tensors) if (below(name)) tensors.add(cut(name), ref, extra === true && !isInside);
  if (tensors.length === 0) throw nothingBelow(flat, start, file);
  return {
    tensors,
    distinct: flat.distinct,
    nontensor: flat.nontensor.filter(([name]) => below(name)).map(([name, value]) => [cut(name), value]),
    extraState: flat.extraState.filter(([key]) => below(key)).map(([key, value]) => [cut(key), value]),
    opaque: flat.opaque.filter(({ path }) => below(path)).map((each) => ({ ...each, path: cut(each.path) })),
    // The module at the prefix itself becomes the root.
    metadataModules: flat.metadataModules
      .filter(([path]) => below(`${path}.`))
      .map(([path, metadata]) => [`${path}.` === start ? "" : cut(path), metadata]),
    warnings: flat.warnings,
  };
}

function nothingBelow({ tensors }: FlatTree, start: string, file: string): StateDictError {
  const present = [...new Set(tensors.map(({ name }) => name.split(".", 1)[0] ?? ""))].slice(0, PREFIXES_NAMED_MAX);
  return new StateDictError(
    "RANKCAST_SELECT_SUBTREE",
    `${printable(file)}: no tensor below ${quote(start)}; names start with ${present.map(quote).join(", ")}`,
    { details: { file, subtree: start, prefixes: present } },
  );
}
