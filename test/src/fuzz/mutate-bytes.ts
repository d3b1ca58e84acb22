/** Changes that know nothing of the format: bits, bytes, runs, integers. */
import { EDGES, type FuzzRandom } from "./fuzz-random.ts";

type Change = (bytes: Uint8Array, random: FuzzRandom, other: Uint8Array) => Uint8Array;

function flipBit(bytes: Uint8Array, random: FuzzRandom): Uint8Array {
  const at = random.below(bytes.length);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
  return bytes;
}

function setByte(bytes: Uint8Array, random: FuzzRandom): Uint8Array {
  bytes[random.below(bytes.length)] = random.oneIn(3) ? random.pick([0, 1, 0x7f, 0x80, 0xff, 0x0a, 0x20, 0x2e, 0x7b]) : random.below(256);
  return bytes;
}

/** Writes an edge number, or moves the number that is there a little, in any width and byte order. */
function setInteger(bytes: Uint8Array, random: FuzzRandom): Uint8Array {
  const width = random.pick([1, 2, 4, 8]);
  if (bytes.length < width) return bytes;
  const at = random.below(bytes.length - width + 1);
  const big = random.oneIn(8);
  let value = random.oneIn(3) ? readInteger(bytes, at, width, big) + BigInt(random.below(9) - 4) : random.pick(EDGES);
  for (let each = 0; each < width; each += 1) {
    bytes[at + (big ? width - 1 - each : each)] = Number(value & 255n);
    value >>= 8n;
  }
  return bytes;
}

function readInteger(bytes: Uint8Array, at: number, width: number, big: boolean): bigint {
  let value = 0n;
  for (let each = 0; each < width; each += 1) {
    value |= BigInt(bytes[at + (big ? width - 1 - each : each)] ?? 0) << BigInt(8 * each);
  }
  return value;
}

function removeRun(bytes: Uint8Array, random: FuzzRandom): Uint8Array {
  const at = random.below(bytes.length);
  const end = Math.min(bytes.length, at + 1 + random.skewed(64));
  return joined(bytes.subarray(0, at), bytes.subarray(end));
}

function insertRun(bytes: Uint8Array, random: FuzzRandom): Uint8Array {
  const at = random.below(bytes.length + 1);
  const run = Uint8Array.from({ length: 1 + random.skewed(16) }, () => random.below(256));
  return joined(bytes.subarray(0, at), run, bytes.subarray(at));
}

function repeatRun(bytes: Uint8Array, random: FuzzRandom): Uint8Array {
  const begin = random.below(bytes.length);
  const run = bytes.subarray(begin, begin + 1 + random.skewed(64));
  const at = random.below(bytes.length + 1);
  return joined(bytes.subarray(0, at), run, bytes.subarray(at));
}

function copyRun(bytes: Uint8Array, random: FuzzRandom): Uint8Array {
  const begin = random.below(bytes.length);
  bytes.copyWithin(random.below(bytes.length), begin, begin + 1 + random.skewed(64));
  return bytes;
}

function cut(bytes: Uint8Array, random: FuzzRandom): Uint8Array {
  return bytes.subarray(0, random.below(bytes.length));
}

function cutFront(bytes: Uint8Array, random: FuzzRandom): Uint8Array {
  return bytes.subarray(random.skewed(Math.min(bytes.length, 256)));
}

function splice(bytes: Uint8Array, random: FuzzRandom, other: Uint8Array): Uint8Array {
  const begin = random.below(other.length);
  const run = other.subarray(begin, begin + 1 + random.skewed(256));
  const at = random.below(bytes.length + 1);
  return joined(bytes.subarray(0, at), run, bytes.subarray(random.oneIn(2) ? at : at + run.length));
}

const CHANGES: readonly Change[] = [
  ...[flipBit, flipBit, flipBit, setByte, setByte, setInteger, setInteger, setInteger, setInteger],
  ...[removeRun, insertRun, repeatRun, copyRun, cut, cutFront, splice],
];

/** `bytes` with one to four changes; `other` is material for splices. */
export function mutateBytes(bytes: Uint8Array, random: FuzzRandom, other: Uint8Array): Uint8Array {
  let mutated = Uint8Array.from(bytes) as Uint8Array;
  for (let left = 1 + random.skewed(4); left > 0; left -= 1) {
    mutated = mutated.length === 0 ? insertRun(mutated, random) : random.pick(CHANGES)(mutated, random, other);
  }
  return mutated;
}

/** Runs of bytes behind one another. */
export function joined(...runs: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(runs.reduce((sum, run) => sum + run.length, 0));
  let at = 0;
  for (const run of runs) {
    all.set(run, at);
    at += run.length;
  }
  return all;
}
