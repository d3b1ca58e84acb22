/** Makes torch's lazy conj and neg flags real, in place. */
import { TensorError } from "../errors/checkpoint-error.ts";
import { type DType, traitsOf } from "./dtype.ts";

/** Which lazy flags are to be applied. */
export interface LazyFlags {
  readonly conj: boolean;
  readonly neg: boolean;
}

/**
 * Applies the flags to contiguous elements: `neg` negates every component, `conj` the imaginary ones (and nothing of a real type). Applying
 * the same flags twice gives the first bytes back. Integers are negated in two's complement and wrap around, as in torch.
 * @throws {TensorError} RANKCAST_TENSOR_DTYPE when `neg` is set for a type that cannot be negated (bool, bits, quantised, e8m0).
 */
export function flipSigns(dtype: DType, bytes: Uint8Array, flags: LazyFlags): void {
  const { kind, swapBytes } = traitsOf(dtype);
  if (kind === "complex") flipTopBits(bytes, swapBytes, flags.neg, flags.neg !== flags.conj);
  else if (!flags.neg) return;
  else if (kind === "int" || kind === "uint") negateIntegers(bytes, swapBytes);
  else if (dtype === "float8_e4m3fnuz" || dtype === "float8_e5m2fnuz") flipUnsignedZero(bytes);
  else if (kind === "float" && dtype !== "float8_e8m0fnu") flipTopBits(bytes, swapBytes, true, true);
  else throw new TensorError("RANKCAST_TENSOR_DTYPE", `${dtype} cannot be negated`, { details: { dtype } });
}

/** Flips the sign of every first (`even`) and every second (`odd`) component; the sign is the top bit of the last byte. */
function flipTopBits(bytes: Uint8Array, width: number, even: boolean, odd: boolean): void {
  const masks = [even ? 0x80 : 0, odd ? 0x80 : 0];
  for (let at = width - 1, turn = 0; at < bytes.length; at += width, turn ^= 1) bytes[at] = (bytes[at] as number) ^ (masks[turn] as number);
}

/** fnuz types have no -0: that pattern is NaN, whose sign means nothing. */
function flipUnsignedZero(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += 1) if (((bytes[at] as number) & 0x7f) !== 0) bytes[at] = (bytes[at] as number) ^ 0x80;
}

/** Two's complement, byte by byte: invert and add one, so that width and alignment do not matter. */
function negateIntegers(bytes: Uint8Array, width: number): void {
  for (let begin = 0; begin < bytes.length; begin += width) {
    let carry = 1;
    for (let at = begin; at < begin + width; at += 1) {
      const sum = ((bytes[at] as number) ^ 0xff) + carry;
      bytes[at] = sum;
      carry = sum >> 8;
    }
  }
}
