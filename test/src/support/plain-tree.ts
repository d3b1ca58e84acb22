/** Decoded values in a form that is short to write down and to compare. */
import { compileLimits, type Limits } from "@rankcast/core";
import {
  ComplexValue,
  KeyTuple,
  OpaqueValue,
  type PickleOptions,
  readPickle,
  SparseRef,
  StorageRef,
  TensorRef,
  TreeDict,
  type TreeKey,
  TreeList,
  type TreeValue,
} from "@rankcast/core/internal";

const WHERE = { file: "model.pt", record: "archive/data.pkl", baseOffset: 1000 };

/** Reads a pickle as if it lay at byte 1000 of `model.pt`. */
export function read(
  bytes: Uint8Array,
  options: Partial<PickleOptions> = {},
  limits: Partial<Record<keyof Limits, number>> = {},
): TreeValue {
  return readPickle(bytes, { limits: compileLimits(limits), where: WHERE, ...options }).value;
}

/** `read`, then `plain`. */
export function readPlain(bytes: Uint8Array, options: Partial<PickleOptions> = {}): unknown {
  return plain(read(bytes, options));
}

/**
 * Lists and tuples as arrays headed by their type, dicts as arrays of pairs headed by theirs, bytes as `hex:…`, objects as
 * `{ global, args, … }`; numbers, texts and None as they are. Not for cycles.
 */
export function plain(value: TreeValue | TreeKey): unknown {
  if (value === null || typeof value !== "object") return value;
  if (value instanceof Uint8Array) return `hex:${Buffer.from(value).toString("hex")}`;
  if (value instanceof ComplexValue) return { re: value.re, im: value.im };
  if (value instanceof KeyTuple) return ["key", ...value.parts.map(plain)];
  if (value instanceof TreeList) return [value.type, ...value.elements.map(plain)];
  if (value instanceof TreeDict) return plainDict(value);
  if (value instanceof TensorRef) return plainTensor(value);
  if (value instanceof SparseRef) return { sparse: value.layout, shape: value.shape, parts: [...value.parts.keys()] };
  return value instanceof OpaqueValue ? plainObject(value) : { storage: value.key, nbytes: value.nbytes };
}

function plainDict(value: TreeDict): unknown {
  const pairs = [...value.entries].map(([key, entry]) => [plain(key), plain(entry)]);
  return value.attributes === null ? [value.type, ...pairs] : [value.type, ...pairs, { attributes: plain(value.attributes) }];
}

function plainTensor({ dtype, shape, stride, storageOffset, storage }: TensorRef): unknown {
  return { dtype, shape: [...shape], stride: [...stride], storageOffset, storage: storage instanceof StorageRef ? storage.key : null };
}

function plainObject({ global, args, state, entries, elements, dangerous }: OpaqueValue): unknown {
  return {
    global,
    ...(args.length > 0 ? { args: args.map(plain) } : {}),
    ...(state === null ? {} : { state: plain(state) }),
    ...(entries.length > 0 ? { entries: entries.map(([key, entry]) => [plain(key), plain(entry)]) } : {}),
    ...(elements.length > 0 ? { elements: elements.map(plain) } : {}),
    ...(dangerous ? { dangerous } : {}),
  };
}
