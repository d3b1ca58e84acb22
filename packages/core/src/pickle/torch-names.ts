/** What names of torch mean: element types, storage classes, ways to quantise. Fact source: torch `storage.py`, `_utils.py`. */
import { OpaqueValue, type TreeValue } from "../manifest/checkpoint-tree.ts";
import { DTYPES, type DType, isDType } from "../tensor/dtype.ts";
import { GlobalRef } from "./known-global.ts";

/** Names that torch writes for types it also has another name for. */
const DTYPE_ALIASES: ReadonlyMap<string, DType> = new Map([
  ["float", "float32"],
  ["double", "float64"],
  ["half", "float16"],
  ["short", "int16"],
  ["int", "int32"],
  ["long", "int64"],
  ["chalf", "complex32"],
  ["cfloat", "complex64"],
  ["cdouble", "complex128"],
]);

/** Types of our table that torch does not have. */
const FOREIGN_DTYPES: ReadonlySet<string> = new Set(["float6_e2m3", "float6_e3m2"]);

/** Class name without `Storage` or `Tensor` to element type. */
const CLASS_DTYPES: ReadonlyMap<string, DType> = new Map([
  ["Float", "float32"],
  ["Double", "float64"],
  ["Half", "float16"],
  ["BFloat16", "bfloat16"],
  ["Char", "int8"],
  ["Byte", "uint8"],
  ["Short", "int16"],
  ["Int", "int32"],
  ["Long", "int64"],
  ["Bool", "bool"],
  ["ComplexFloat", "complex64"],
  ["ComplexDouble", "complex128"],
  ["QInt8", "qint8"],
  ["QUInt8", "quint8"],
  ["QInt32", "qint32"],
  ["QUInt4x2", "quint4x2"],
  ["QUInt2x4", "quint2x4"],
]);

const UNTYPED: ReadonlySet<string> = new Set(["UntypedStorage", "_UntypedStorage"]);
/** Devices have modules of their own (`torch.cuda.FloatStorage`); the device itself is in the persistent id. */
const TORCH_MODULE = /^torch(\.[a-z_]+)*(\._C)?$/;
const LAYOUT_CALL = "torch.serialization._get_layout";
const LAYOUTS: ReadonlySet<string> = new Set(["strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc"]);

/** Element type that `value` (a global `torch.float32`, …) names; null when it names none that is known. */
export function dtypeNamed(value: TreeValue | undefined): DType | null {
  if (!(value instanceof GlobalRef) || value.module !== "torch") return null;
  if (isDType(value.name)) return FOREIGN_DTYPES.has(value.name) ? null : value.name;
  return DTYPE_ALIASES.get(value.name) ?? null;
}

/** What a storage class says: an element type, `untyped`, or null when it is no storage class of torch. */
export function storageClassNamed(value: TreeValue | undefined): DType | "untyped" | null {
  if (!(value instanceof GlobalRef)) return null;
  value.storageType ??= parseStorageClass(value);
  return value.storageType;
}

function parseStorageClass({ module, name }: GlobalRef): DType | "untyped" | null {
  if (!TORCH_MODULE.test(module)) return null;
  if (UNTYPED.has(name)) return "untyped";
  return name.endsWith("Storage") ? (CLASS_DTYPES.get(name.slice(0, -"Storage".length)) ?? null) : null;
}

/** Element type of a tensor class of old (`torch.cuda.FloatTensor`); null when it is none. */
export function tensorClassNamed(value: TreeValue | undefined): DType | null {
  if (!(value instanceof GlobalRef) || !TORCH_MODULE.test(value.module) || !value.name.endsWith("Tensor")) return null;
  return CLASS_DTYPES.get(value.name.slice(0, -"Tensor".length)) ?? null;
}

/** All classes that `tensorClassNamed` knows, for tables. */
export const TENSOR_CLASS_NAMES: readonly string[] = [...CLASS_DTYPES.keys()].map((name) => `${name}Tensor`);

/** Layout that `value` names (`_get_layout("torch.sparse_coo")`, or the global itself), without `torch.`; null when there is none of that name. */
export function layoutNamed(value: TreeValue | undefined): string | null {
  let name: TreeValue | undefined;
  if (value instanceof GlobalRef) name = value.global;
  else if (value instanceof OpaqueValue && value.global === LAYOUT_CALL) name = value.args[0];
  if (typeof name !== "string" || !name.startsWith("torch.")) return null;
  const layout = name.slice("torch.".length);
  return LAYOUTS.has(layout) ? layout : null;
}

/** Bytes of one element of a storage. Packed quantised types count bytes: their storages hold whole ones. */
export function storageItemBytes(dtype: DType | "untyped"): number {
  if (dtype === "untyped") return 1;
  return Math.max((DTYPES.get(dtype)?.bits ?? 8) / 8, 1);
}
