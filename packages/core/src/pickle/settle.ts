/**
 * Replaces what is unsettled in a decoded tree: floats that look like integers, Python 2 strings nobody took for bytes, skipped bytes
 * nobody took for an array. The walk keeps its own stack and visits each container once, so cycles and shared parts cost nothing.
 */
import { OpaqueValue, TreeDict, TreeList, type TreeValue } from "../manifest/checkpoint-tree.ts";
import type { Reading } from "./byte-reading.ts";
import { decodePython2 } from "./decode-text.ts";
import type { PickleCall } from "./known-global.ts";
import { StorageView } from "./torch-storage.ts";
import { ByteString, IntegralFloat, isUnsettled, SkippedBytes, type Unsettled } from "./unsettled.ts";

/** The tree below `root` with every value final. Containers are changed in place. @throws {FormatError} limit, for bytes that must be read and are too many. */
export function* settle(root: TreeValue, call: PickleCall): Reading<TreeValue> {
  const seen = new Set<TreeValue>();
  const pending: TreeValue[] = [];
  const final = isUnsettled(root) ? yield* finalOf(root, call) : root;
  pending.push(final);
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (value === null || typeof value !== "object" || seen.has(value)) continue;
    seen.add(value);
    if (value instanceof TreeList) yield* settleArray(value.elements, pending, call);
    else if (value instanceof TreeDict) yield* settleDict(value, pending, call);
    else if (value instanceof OpaqueValue) yield* settleOpaque(value, pending, call);
  }
  return final;
}

function* settleArray(values: TreeValue[], pending: TreeValue[], call: PickleCall): Reading<void> {
  for (let at = 0; at < values.length; at += 1) {
    const value = values[at] as TreeValue;
    if (isUnsettled(value)) values[at] = yield* finalOf(value, call);
    else if (typeof value === "object" && value !== null) pending.push(value);
  }
}

function* settleDict(dict: TreeDict, pending: TreeValue[], call: PickleCall): Reading<void> {
  for (const [key, value] of dict.entries) {
    if (isUnsettled(value)) dict.entries.set(key, yield* finalOf(value, call));
    else if (typeof value === "object" && value !== null) pending.push(value);
    if (key instanceof OpaqueValue) pending.push(key);
  }
  if (dict.attributes !== null) pending.push(dict.attributes);
}

/** The arguments array may be a tuple's own elements; both are changed alike. */
function* settleOpaque(object: OpaqueValue, pending: TreeValue[], call: PickleCall): Reading<void> {
  yield* settleArray(object.args as TreeValue[], pending, call);
  yield* settleArray(object.elements, pending, call);
  for (const pair of object.entries) yield* settleArray(pair, pending, call);
  if (isUnsettled(object.state)) object.state = yield* finalOf(object.state, call);
  else pending.push(object.state);
}

function* finalOf(value: Unsettled, call: PickleCall): Reading<TreeValue> {
  if (value instanceof IntegralFloat) return value.number;
  if (value instanceof ByteString) return value.text;
  if (value instanceof SkippedBytes) {
    if (value.settled !== null) return value.settled;
    call.charge(value.nbytes);
    const bytes = new Uint8Array((yield { offset: value.offset, nbytes: value.nbytes }).subarray(0, value.nbytes));
    value.settled = value.text ? decodePython2(bytes) : bytes;
    return value.settled;
  }
  return value instanceof StorageView ? value.toStorage() : value.value;
}
