/**
 * The clock of all micro benches: processor time, and the best of several runs, because on a shared machine only these say what the code
 * costs.
 */

/** One figure. */
export interface Figure {
  readonly name: string;
  readonly seconds: number;
  /** Output bytes per second, in GB/s. */
  readonly gigabytesPerSecond: number;
  /** Time of a memcpy of as many output bytes, divided by this one's: 1 is as fast as memory. */
  readonly ofMemcpy: number;
}

/** Processor seconds of the fastest of `runs` calls, after one that is not counted. */
export function bestSeconds(run: () => void, runs = 5): number {
  run();
  let best = Number.POSITIVE_INFINITY;
  for (let turn = 0; turn < runs; turn += 1) {
    const before = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, (user + system) / 1e6);
  }
  return best;
}

/** Seconds to copy `nbytes` between touched buffers. */
export function memcpySeconds(nbytes: number): number {
  const source = new Uint8Array(nbytes).fill(1);
  const target = new Uint8Array(nbytes).fill(2);
  return bestSeconds(() => target.set(source));
}

/** A figure from a time and the bytes written. */
export function figure(name: string, seconds: number, outputBytes: number, memcpy: number): Figure {
  const round = (value: number) => Number(value.toPrecision(3));
  return { name, seconds: round(seconds), gigabytesPerSecond: round(outputBytes / seconds / 1e9), ofMemcpy: round(memcpy / seconds) };
}
