/**
 * CRC-32 of bytes whose parts' CRC-32 are known. It is linear: crc(AB) = shift(crc(A), |B|) xor crc(B), where shift moves a checksum past |B| zero bytes.
 * After Mark Adler's `crc32_combine` in zlib (`crc32.c`).
 */

/** Reflected polynomial of CRC-32. */
const POLYNOMIAL = 0xedb88320;

/** CRC-32 of B, given the CRC-32 of AB, the CRC-32 of A, and the length of B: the elements of an array without its header. */
export function crc32OfTail(whole: number, head: number, tailBytes: number): number {
  return (whole ^ shiftPastZeros(head, tailBytes)) >>> 0;
}

/** CRC-32 of AB, given those of A and B and the length of B. */
export function crc32OfBoth(head: number, tail: number, tailBytes: number): number {
  return (shiftPastZeros(head, tailBytes) ^ tail) >>> 0;
}

/** Matrix n moves a checksum past 2^n zero bytes. Made as lengths ask for them: 53 at most. */
const steps: Uint32Array[] = [];

function shiftPastZeros(checksum: number, zeroBytes: number): number {
  let shifted = checksum;
  for (let rest = zeroBytes, power = 0; rest > 0; rest = Math.floor(rest / 2), power += 1) {
    if (rest % 2 === 1) shifted = apply(stepOf(power), shifted);
  }
  return shifted;
}

function stepOf(power: number): Uint32Array {
  for (let next = steps.length; next <= power; next += 1) steps.push(square(steps[next - 1] ?? pastFourBits()));
  return steps[power] as Uint32Array;
}

function pastFourBits(): Uint32Array {
  const pastOneBit = Uint32Array.from({ length: 32 }, (_, bit) => (bit === 0 ? POLYNOMIAL : 1 << (bit - 1)));
  return square(square(pastOneBit));
}

function square(matrix: Uint32Array): Uint32Array {
  return matrix.map((row) => apply(matrix, row));
}

/** One application of a 32 x 32 matrix over GF(2); row i is what bit i turns into. */
function apply(matrix: Uint32Array, vector: number): number {
  let sum = 0;
  for (let bit = 0, rest = vector; rest !== 0; bit += 1, rest >>>= 1) if ((rest & 1) === 1) sum ^= matrix[bit] ?? 0;
  return sum >>> 0;
}
