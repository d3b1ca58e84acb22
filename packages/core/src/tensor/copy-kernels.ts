/** The innermost loops of a strided copy: words from one typed array to another of the same class. No arithmetic on values. */
import type { Loop } from "./copy-loops.ts";

/** Words are moved as unsigned integers: a float array may change the bits of a NaN, and a BigInt array is slow. */
export type WordArray = Uint8Array | Uint16Array | Uint32Array;

/** From this length on, a run goes to the engine's memmove instead of a loop; below, making the two views costs more than it saves. */
const MEMMOVE_WORDS = 48;
/** Side of the squares in which transposed planes are copied. 64 words of 4 bytes: measured best of 8 to 4096 (bench/src/copy.ts). */
const TILE = 64;

/** Runs `loops` (outermost first, starting at word 0 of both arrays). */
export function copyWords(target: WordArray, source: WordArray, loops: readonly Loop[]): void {
  const last = loops.at(-1);
  const run = last && last.targetStep === 1 && last.sourceStep === 1 ? last.size : 1;
  const rest = run === 1 ? [...loops] : loops.slice(0, -1);
  const inner = rest.pop() ?? ONCE;
  // The plane is spanned by the loop that is smallest in the target and the one that is smallest in the source: both sides then move
  // through whole cache lines, tile by tile.
  const partnerAt = smallestSourceStep(rest);
  const partner = rest.splice(partnerAt, 1)[0] ?? ONCE;
  forEachPlane(rest, (targetAt, sourceAt) => {
    if (run === 1) copyPlane(target, targetAt, source, sourceAt, partner, inner);
    else copyRuns(target, targetAt, source, sourceAt, partner, inner, run);
  });
}

const ONCE: Loop = { size: 1, targetStep: 0, sourceStep: 0 };

function smallestSourceStep(loops: readonly Loop[]): number {
  return loops.reduce((best, loop, at) => (loop.sourceStep <= (loops[best] as Loop).sourceStep ? at : best), 0);
}

/** Calls `copy` with both offsets for every turn of the outer loops, without recursion. */
function forEachPlane(loops: readonly Loop[], copy: (targetAt: number, sourceAt: number) => void): void {
  const turns = new Array<number>(loops.length).fill(0);
  let targetAt = 0;
  let sourceAt = 0;
  for (;;) {
    copy(targetAt, sourceAt);
    let at = loops.length - 1;
    for (; at >= 0; at -= 1) {
      const { size, targetStep, sourceStep } = loops[at] as Loop;
      const turn = (turns[at] as number) + 1;
      targetAt += targetStep;
      sourceAt += sourceStep;
      turns[at] = turn;
      if (turn < size) break;
      targetAt -= size * targetStep;
      sourceAt -= size * sourceStep;
      turns[at] = 0;
    }
    if (at < 0) return;
  }
}

/** Single words, in tiles. */
function copyPlane(target: WordArray, targetAt: number, source: WordArray, sourceAt: number, outer: Loop, inner: Loop): void {
  const { size: rows, targetStep: targetRow, sourceStep: sourceRow } = outer;
  const { size: columns, targetStep: targetColumn, sourceStep: sourceColumn } = inner;
  for (let rowBegin = 0; rowBegin < rows; rowBegin += TILE) {
    const rowEnd = Math.min(rowBegin + TILE, rows);
    for (let columnBegin = 0; columnBegin < columns; columnBegin += TILE) {
      const columnEnd = Math.min(columnBegin + TILE, columns);
      for (let row = rowBegin; row < rowEnd; row += 1) {
        let to = targetAt + row * targetRow + columnBegin * targetColumn;
        let from = sourceAt + row * sourceRow + columnBegin * sourceColumn;
        for (let column = columnBegin; column < columnEnd; column += 1) {
          target[to] = source[from] as number;
          to += targetColumn;
          from += sourceColumn;
        }
      }
    }
  }
}

/** Runs of `run` words that lie together on both sides; short ones (an 8-byte element is a run of 2) in tiles too. */
function copyRuns(target: WordArray, targetAt: number, source: WordArray, sourceAt: number, outer: Loop, inner: Loop, run: number): void {
  const long = run >= MEMMOVE_WORDS;
  const tile = long ? Number.POSITIVE_INFINITY : TILE;
  for (let rowBegin = 0; rowBegin < outer.size; rowBegin += tile) {
    const rowEnd = Math.min(rowBegin + tile, outer.size);
    for (let columnBegin = 0; columnBegin < inner.size; columnBegin += tile) {
      const columnEnd = Math.min(columnBegin + tile, inner.size);
      for (let row = rowBegin; row < rowEnd; row += 1) {
        let to = targetAt + row * outer.targetStep + columnBegin * inner.targetStep;
        let from = sourceAt + row * outer.sourceStep + columnBegin * inner.sourceStep;
        for (let column = columnBegin; column < columnEnd; column += 1) {
          if (long) target.set(source.subarray(from, from + run), to);
          else for (let word = 0; word < run; word += 1) target[to + word] = source[from + word] as number;
          to += inner.targetStep;
          from += inner.sourceStep;
        }
      }
    }
  }
}
