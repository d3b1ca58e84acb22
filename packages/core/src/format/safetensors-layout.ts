/**
 * Proof that the tensors of a safetensors file cover its data exactly: no hole, no overlap, no byte before or after. One pass in offset
 * order, the same checks in the same order as `Metadata::validate` in `safetensors/src/tensor.rs`, so that both name the same rule.
 */
import { quote } from "../errors/quote.ts";
import { failSafetensors, type SafetensorsVariant } from "./safetensors-fault.ts";
import type { SafetensorsEntry } from "./safetensors-header.ts";

const U64_MAX = 2n ** 64n - 1n;

/**
 * Checks every entry and gives the bytes of data that all of them together need.
 * @throws {FormatError} RANKCAST_SAFETENSORS_HEADER with variant InvalidOffset, ValidationOverflow, MisalignedSlice or TensorInvalidInfo.
 */
export function validateSafetensorsLayout(entries: readonly SafetensorsEntry[], file: string): number | bigint {
  let expected: number | bigint = 0;
  for (const entry of inOffsetOrder(entries)) {
    if (entry.begin !== expected || entry.end < entry.begin)
      fail(file, entry, "InvalidOffset", `data_offsets [${entry.begin}, ${entry.end}] where ${expected} comes next`);
    const bits = bitsOf(entry);
    if (bits === undefined) return fail(file, entry, "ValidationOverflow", `shape [${entry.shape}] has more than 2^64-1 bits`);
    if (typeof bits === "number" ? bits % 8 !== 0 : bits % 8n !== 0n)
      fail(file, entry, "MisalignedSlice", `${entry.dtype.name} [${entry.shape}] ends inside a byte`);
    if (!spansExactly(entry, bits))
      fail(file, entry, "TensorInvalidInfo", `${entry.dtype.name} [${entry.shape}] in data_offsets [${entry.begin}, ${entry.end}]`);
    expected = entry.end;
  }
  return expected;
}

/** By begin, then end; files written by the reference are in order already. */
function inOffsetOrder(entries: readonly SafetensorsEntry[]): readonly SafetensorsEntry[] {
  const sorted = entries.every((entry, index) => {
    const before = entries[index - 1];
    return before === undefined || before.begin < entry.begin || (before.begin === entry.begin && before.end <= entry.end);
  });
  if (sorted) return entries;
  return [...entries].sort((a, b) => compare(a.begin, b.begin) || compare(a.end, b.end));
}

function compare(a: number | bigint, b: number | bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Bits of a tensor; a bigint when a double cannot hold a step exactly, undefined when a step leaves 64 bits (even if a later size is 0). */
function bitsOf(entry: SafetensorsEntry): number | bigint | undefined {
  let product = entry.dtype.bits;
  for (const size of entry.shape) {
    // The reference multiplies the sizes first and the bits last; in 53 bits the order cannot matter, beyond it exactBits keeps it.
    if (typeof size === "bigint") return exactBits(entry);
    product *= size;
    if (product > Number.MAX_SAFE_INTEGER) return exactBits(entry);
  }
  return product;
}

function exactBits(entry: SafetensorsEntry): bigint | undefined {
  let product = 1n;
  for (const factor of [...entry.shape, entry.dtype.bits]) {
    product *= BigInt(factor);
    if (product > U64_MAX) return undefined;
  }
  return product;
}

function spansExactly(entry: SafetensorsEntry, bits: number | bigint): boolean {
  if (typeof entry.begin === "number" && typeof entry.end === "number" && typeof bits === "number") {
    return entry.end - entry.begin === bits / 8;
  }
  return BigInt(entry.end) - BigInt(entry.begin) === BigInt(bits) / 8n;
}

function fail(file: string, entry: SafetensorsEntry, variant: SafetensorsVariant, problem: string): never {
  return failSafetensors({ file, variant, problem: `${quote(entry.name)}: ${problem}`, offset: entry.at, key: entry.name });
}
