/** Element-wise sums in place, with the rounding of the element type. Only for sparse tensors that name a place more than once. */
import { convertElements, type ElementRun } from "./convert.ts";
import { bytesOf, type DType, traitsOf } from "./dtype.ts";
import { Storage } from "./storage.ts";

/**
 * Adds `count` elements of `source` to those of `target`; both have one type. Floats round once per sum, integers wrap around, bools become
 * true when either is. The types must be numeric (`requireConvertible`).
 */
export function addElements(target: ElementRun, source: ElementRun, count: number): void {
  const { kind } = traitsOf(target.dtype);
  if (kind === "int" || kind === "uint") addIntegers(target, source, count);
  else if (kind === "bool") addBools(target, source, count);
  else addFloats(target, source, count);
}

const BLOCK = 1024;

/** Two float64 terms of at most 24 significant bits add up with one rounding that a second one to their own type cannot spoil. */
function addFloats(target: ElementRun, source: ElementRun, count: number): void {
  const complex = traitsOf(target.dtype).kind === "complex";
  const wide: DType = complex ? "complex128" : "float64";
  const first = { dtype: wide, storage: Storage.allocate(bytesOf(wide, BLOCK)), byteOffset: 0 };
  const second = { ...first, storage: Storage.allocate(bytesOf(wide, BLOCK)) };
  const sums = new Float64Array(first.storage.buffer as ArrayBuffer);
  const terms = new Float64Array(second.storage.buffer as ArrayBuffer);
  for (let begin = 0; begin < count; begin += BLOCK) {
    const size = Math.min(BLOCK, count - begin);
    const into = shifted(target, begin);
    convertElements(into, first, size);
    convertElements(shifted(source, begin), second, size);
    for (let at = 0; at < (complex ? 2 : 1) * size; at += 1) sums[at] = (sums[at] as number) + (terms[at] as number);
    convertElements(first, into, size);
  }
}

/** Byte by byte with carry: any width, any alignment, two's complement. */
function addIntegers(target: ElementRun, source: ElementRun, count: number): void {
  const width = bytesOf(target.dtype, 1);
  const into = target.storage.bytes(target.byteOffset, count * width);
  const from = source.storage.bytes(source.byteOffset, count * width);
  for (let begin = 0; begin < into.length; begin += width) {
    let carry = 0;
    for (let at = begin; at < begin + width; at += 1) {
      const sum = (into[at] as number) + (from[at] as number) + carry;
      into[at] = sum;
      carry = sum >> 8;
    }
  }
}

function addBools(target: ElementRun, source: ElementRun, count: number): void {
  const into = target.storage.bytes(target.byteOffset, count);
  const from = source.storage.bytes(source.byteOffset, count);
  for (let at = 0; at < count; at += 1) into[at] = into[at] === 0 && from[at] === 0 ? 0 : 1;
}

function shifted(run: ElementRun, elements: number): ElementRun {
  return { ...run, byteOffset: run.byteOffset + bytesOf(run.dtype, elements) };
}
