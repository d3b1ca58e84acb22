/** Which nested loops a strided copy needs: fewest axes, target in memory order, no piece larger than a typed array. Pure. */

/** One loop; steps in words from one turn to the next. */
export interface Loop {
  readonly size: number;
  readonly targetStep: number;
  readonly sourceStep: number;
}

/** Loops and where they start, in words from the places they are given for. */
export interface LoopNest {
  /** Outermost first. */
  readonly loops: readonly Loop[];
  readonly targetBegin: number;
  readonly sourceBegin: number;
}

/**
 * The loops over all elements of `shape`, outermost first, for elements of `words` words each. Axes that lie without a gap behind each
 * other on both sides become one; the innermost loop is the one with the smallest step in the target.
 */
export function planLoops(
  shape: readonly number[],
  targetStride: readonly number[],
  sourceStride: readonly number[],
  words: number,
): Loop[] {
  const loops = shape
    .map((size, axis) => ({ size, targetStep: (targetStride[axis] ?? 0) * words, sourceStep: (sourceStride[axis] ?? 0) * words }))
    .filter(({ size }) => size !== 1);
  if (words > 1) loops.push({ size: words, targetStep: 1, sourceStep: 1 });
  loops.sort((a, b) => b.targetStep - a.targetStep || b.sourceStep - a.sourceStep);
  const collapsed: Loop[] = [];
  for (const loop of loops) {
    const outer = collapsed.at(-1);
    if (outer && outer.targetStep === loop.targetStep * loop.size && outer.sourceStep === loop.sourceStep * loop.size) {
      collapsed[collapsed.length - 1] = { ...loop, size: outer.size * loop.size };
    } else {
      collapsed.push(loop);
    }
  }
  return collapsed;
}

/**
 * The nest cut into pieces that touch at most `wordsMax` words on either side, so that one typed array can show a piece: Node 20 has no
 * view of more than 2^32 elements, and indices below 2^30 stay small integers in V8.
 */
export function* splitNest(nest: LoopNest, wordsMax: number): Generator<LoopNest> {
  const pending: LoopNest[] = [nest];
  for (let next = pending.pop(); next; next = pending.pop()) {
    const { loops, targetBegin, sourceBegin } = next;
    if (spanOf(loops, "targetStep") <= wordsMax && spanOf(loops, "sourceStep") <= wordsMax) {
      yield next;
      continue;
    }
    const reach = ({ size, targetStep, sourceStep }: Loop) => (size - 1) * Math.max(targetStep, sourceStep);
    const widest = loops.reduce((best, loop, at) => (reach(loop) > reach(loops[best] as Loop) ? at : best), 0);
    const { size, targetStep, sourceStep } = loops[widest] as Loop;
    const half = Math.ceil(size / 2);
    pending.push(
      {
        loops: withSize(loops, widest, size - half),
        targetBegin: targetBegin + half * targetStep,
        sourceBegin: sourceBegin + half * sourceStep,
      },
      { loops: withSize(loops, widest, half), targetBegin, sourceBegin },
    );
  }
}

/** Words from the first to one past the last one touched on one side. */
export function spanOf(loops: readonly Loop[], side: "targetStep" | "sourceStep"): number {
  return loops.reduce((span, loop) => span + (loop.size - 1) * loop[side], 1);
}

function withSize(loops: readonly Loop[], at: number, size: number): Loop[] {
  return loops.map((loop, index) => (index === at ? { ...loop, size } : loop));
}
