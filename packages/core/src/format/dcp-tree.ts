/** Putting flat names back where they were in the saved object. Source: `_flatten_state_dict` and `_nested_dict.py` of torch's checkpoint. */
import { FormatError } from "../errors/checkpoint-error.ts";
import { printable, quote } from "../errors/quote.ts";
import { TreeDict, TreeList, type TreeValue } from "../manifest/checkpoint-tree.ts";

/** A leaf with its flat name and its path; a name without a path is a key of the root. */
export interface DcpLeaf {
  readonly name: string;
  readonly path: readonly (string | number)[];
  readonly value: TreeValue;
}

/**
 * The object that `leaves` were taken from: texts are keys of dicts, numbers are positions in lists. Leaves come in any order, because ranks
 * describe their parts separately.
 * @throws {FormatError} RANKCAST_DCP_METADATA when one path ends where another goes on, or a list has a position that nothing fills.
 */
export function nestLeaves(leaves: readonly DcpLeaf[], file: string): TreeDict {
  const root = new TreeDict();
  const lists = new Map<TreeList, DcpLeaf>();
  for (const leaf of leaves) {
    let container: TreeDict | TreeList = root;
    for (const [depth, step] of leaf.path.entries()) {
      const present = childOf(container, step, leaf, leaves.length, file);
      if (depth === leaf.path.length - 1) {
        if (present !== undefined) fail(file, leaf, "stands where another name is");
        put(container, step, leaf.value);
        break;
      }
      const child: TreeValue = present ?? (typeof leaf.path[depth + 1] === "number" ? new TreeList("list") : new TreeDict());
      if (!(child instanceof TreeDict || child instanceof TreeList)) return fail(file, leaf, "goes on below a value");
      if (child instanceof TreeList && !lists.has(child)) lists.set(child, leaf);
      put(container, step, child);
      container = child;
    }
  }
  // A hole would have to be filled with something nobody saved.
  for (const [list, leaf] of lists)
    if (list.elements.includes(undefined as never)) fail(file, leaf, "is in a list with positions that nothing fills");
  return root;
}

function childOf(container: TreeDict | TreeList, step: string | number, leaf: DcpLeaf, count: number, file: string): TreeValue | undefined {
  if (container instanceof TreeDict) return container.entries.get(step);
  // A list cannot be longer than there are leaves; a huge position must not make a huge array.
  if (typeof step !== "number" || step >= count) return fail(file, leaf, `asks for position ${quote(String(step))} of a list`);
  return container.elements[step];
}

function put(container: TreeDict | TreeList, step: string | number, value: TreeValue): void {
  if (container instanceof TreeDict) container.entries.set(step, value);
  else if (typeof step === "number") container.elements[step] = value;
}

function fail(file: string, leaf: DcpLeaf, problem: string): never {
  const path = leaf.path.join(".");
  throw new FormatError("RANKCAST_DCP_METADATA", `${printable(file)}: the path ${quote(path)} of ${quote(leaf.name)} ${problem}`, {
    details: { file, key: leaf.name, path },
  });
}
