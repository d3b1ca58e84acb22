/** Trees that were read of one file become parts of a larger checkpoint, whose list of files is another. */
import {
  OpaqueValue,
  type SourceMove,
  SparseRef,
  StorageRef,
  type StorageTraits,
  TensorRef,
  TreeDict,
  TreeList,
  type TreeValue,
} from "../manifest/checkpoint-tree.ts";

/** A place in the set of those that were seen. */
const SEEN_BYTES = 48;

/**
 * Says of every storage below `root` where its bytes are in the larger checkpoint. The storages themselves change, so the tree must be the caller's
 * own: a copy would be as large as the tree (`rebaseSources` makes one). What is walked is charged as heap. Not recursive.
 */
export function moveStorages(root: TreeValue, move: SourceMove, charge: (nbytes: number) => void): void {
  const seen = new Set<object>();
  const traits = new Map<StorageTraits, StorageTraits>();
  const open: TreeValue[] = [root];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (value instanceof TensorRef) {
      open.push(value.storage, value.quantisation?.scale ?? null, value.quantisation?.zeroPoint ?? null);
      continue;
    }
    if (!isMoved(value) || seen.has(value)) continue;
    charge(SEEN_BYTES);
    seen.add(value);
    if (value instanceof StorageRef) value.move(move, traits);
    else pushChildren(value, open);
  }
}

type Container = SparseRef | TreeDict | TreeList | OpaqueValue;

/** Storages, and what may hold one; of empty dicts there may be very many. */
function isMoved(value: TreeValue): value is StorageRef | Container {
  if (value instanceof TreeDict) return value.size > 0 || value.attributes !== null;
  return value instanceof StorageRef || value instanceof TreeList || value instanceof OpaqueValue || value instanceof SparseRef;
}

function pushChildren(value: Container, open: TreeValue[]): void {
  if (value instanceof SparseRef) open.push(...value.parts.values());
  else if (value instanceof TreeList) for (const element of value.elements) open.push(element);
  else if (value instanceof TreeDict) {
    // Objects of unknown classes may be keys.
    value.entries.forEach((entry, key) => {
      open.push(entry, key instanceof OpaqueValue ? key : null);
    });
    open.push(value.attributes);
  } else {
    for (const list of [value.args, value.elements]) for (const element of list) open.push(element);
    for (const [key, entry] of value.entries) open.push(key, entry);
    open.push(value.state);
  }
}
