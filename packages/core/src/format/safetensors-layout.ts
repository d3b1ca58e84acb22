/**
 * Proof that the tensors of a safetensors file cover its data exactly: no hole, no overlap, no byte before or after. One pass in offset
 * order, the same checks in the same order as `Metadata::validate` in `safetensors/src/tensor.rs`, so that both name the same rule.
 */
import { quote } from "../errors/quote.ts";
import { failSafetensors, type SafetensorsVariant } from "./safetensors-fault.ts";
import type { HeaderShape, SafetensorsEntry, SafetensorsTable } from "./safetensors-table.ts";

const U64_MAX = 2n ** 64n - 1n;

/**
 * Checks every row and gives the bytes of data that all of them together need.
 * @throws {FormatError} RANKCAST_SAFETENSORS_HEADER with variant InvalidOffset, ValidationOverflow, MisalignedSlice or TensorInvalidInfo.
 */
export function validateSafetensorsLayout(table: SafetensorsTable, file: string): number | bigint {
  const order = offsetOrder(table);
  let expected: number | bigint = 0;
  for (let index = 0; index < table.length; index += 1) {
    const row = order === null ? index : (order[index] as number);
    const begin = table.begin(row);
    const end = table.end(row);
    const bits = bitsOf(table, row);
    if (begin !== expected || end < begin || bits === undefined || !isWhole(bits) || !spansExactly(begin, end, bits)) {
      refuse(file, table.entry(row), bits, expected);
    }
    expected = end;
  }
  return expected;
}

/** Says which rule is broken, the first of the reference's order. */
function refuse(file: string, entry: SafetensorsEntry, bits: number | bigint | undefined, expected: number | bigint): never {
  const { dtype, shape, begin, end } = entry;
  if (begin !== expected || end < begin) {
    return fail(file, entry, "InvalidOffset", `data_offsets [${begin}, ${end}] where ${expected} comes next`);
  }
  if (bits === undefined) return fail(file, entry, "ValidationOverflow", `shape [${shape}] has more than 2^64-1 bits`);
  if (!isWhole(bits)) return fail(file, entry, "MisalignedSlice", `${dtype.name} [${shape}] ends inside a byte`);
  return fail(file, entry, "TensorInvalidInfo", `${dtype.name} [${shape}] in data_offsets [${begin}, ${end}]`);
}

/** Whether bits fill bytes. */
function isWhole(bits: number | bigint): boolean {
  return typeof bits === "number" ? bits % 8 === 0 : bits % 8n === 0n;
}

/** Rows by begin, then end; null when they are so already, as in files written by the reference. */
function offsetOrder(table: SafetensorsTable): Uint32Array | null {
  let sorted = true;
  for (let row = 1; row < table.length && sorted; row += 1) sorted = compareRows(table, row - 1, row) <= 0;
  if (sorted) return null;
  return Uint32Array.from({ length: table.length }, (_, row) => row).sort((a, b) => compareRows(table, a, b));
}

function compareRows(table: SafetensorsTable, a: number, b: number): number {
  return compare(table.begin(a), table.begin(b)) || compare(table.end(a), table.end(b));
}

function compare(a: number | bigint, b: number | bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Bits of a tensor; a bigint when a double cannot hold a step exactly, undefined when a step leaves 64 bits (even if a later size is 0). */
function bitsOf(table: SafetensorsTable, row: number): number | bigint | undefined {
  const { bits } = table.dtype(row);
  const shape = table.shape(row);
  let product = bits;
  for (let axis = 0; axis < shape.length; axis += 1) {
    const size = shape[axis] as number | bigint;
    // The reference multiplies the sizes first and the bits last; in 53 bits the order cannot matter, beyond it exactBits keeps it.
    if (typeof size === "bigint") return exactBits(shape, bits);
    product *= size;
    if (product > Number.MAX_SAFE_INTEGER) return exactBits(shape, bits);
  }
  return product;
}

function exactBits(shape: HeaderShape, bits: number): bigint | undefined {
  let product = 1n;
  for (const factor of [...shape, bits]) {
    product *= BigInt(factor);
    if (product > U64_MAX) return undefined;
  }
  return product;
}

function spansExactly(begin: number | bigint, end: number | bigint, bits: number | bigint): boolean {
  if (typeof begin === "number" && typeof end === "number" && typeof bits === "number") return end - begin === bits / 8;
  return BigInt(end) - BigInt(begin) === BigInt(bits) / 8n;
}

function fail(file: string, entry: SafetensorsEntry, variant: SafetensorsVariant, problem: string): never {
  return failSafetensors({ file, variant, problem: `${quote(entry.name)}: ${problem}`, offset: entry.at, key: entry.name });
}
