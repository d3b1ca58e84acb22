/** CRC-32 of the end of a record whose whole CRC-32 is known: the elements of an array without its header. */

/** Reflected polynomial of CRC-32. */
const POLYNOMIAL = 0xedb88320;

/**
 * CRC-32 of B, given the CRC-32 of AB, the CRC-32 of A, and the length of B. CRC-32 is linear: crc(AB) = shift(crc(A), |B|) xor crc(B), where
 * shift moves a checksum past |B| zero bytes.
 */
export function crc32OfTail(whole: number, head: number, tailBytes: number): number {
  return (whole ^ shiftPastZeros(head, tailBytes)) >>> 0;
}

/** One application of a 32 x 32 matrix over GF(2); row i is what bit i turns into. */
function apply(matrix: Uint32Array, vector: number): number {
  let sum = 0;
  for (let bit = 0, rest = vector; rest !== 0; bit += 1, rest >>>= 1) if ((rest & 1) === 1) sum ^= matrix[bit] ?? 0;
  return sum >>> 0;
}

/** Squares the step of one zero bit until every bit of the length is used: 53 squarings at most. */
function shiftPastZeros(checksum: number, zeroBytes: number): number {
  let step = Uint32Array.from({ length: 32 }, (_, bit) => (bit === 0 ? POLYNOMIAL : 1 << (bit - 1)));
  for (let doubled = 0; doubled < 3; doubled += 1) step = step.map((row, _, matrix) => apply(matrix, row));
  let shifted = checksum;
  for (let rest = zeroBytes; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) shifted = apply(step, shifted);
    step = step.map((row, _, matrix) => apply(matrix, row));
  }
  return shifted;
}
