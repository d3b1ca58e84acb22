/** A stream of the launcher that several ranks' output goes to, and whose reader may go away before they end. */
import type { Writable } from "node:stream";

/** Takes what ranks say, for as long as somebody reads it. */
export interface SharedConsole {
  /** Answers false when it wants a pause until `drained`. What nobody can read any more is dropped, and wants no pause. */
  write(chunk: Buffer | string): boolean;
  /** Calls back once: when there is room again, or when nobody reads any more. */
  drained(resume: () => void): void;
}

/** One for each stream, so that many ranks do not put a listener each on it. */
const consoles = new WeakMap<Writable, SharedConsole>();

/**
 * The console of a stream. A stream whose reader has gone (`rankcast run … | head`, a terminal that was closed) fails once and never drains: whoever waited
 * for it would hold a rank in its write, and the launcher behind the rank, for ever.
 */
export function sharedConsole(target: Writable): SharedConsole {
  const known = consoles.get(target);
  if (known !== undefined) return known;
  let isBroken = target.destroyed;
  const waiting = new Set<() => void>();
  const resumeAll = (): void => {
    const resumes = [...waiting];
    waiting.clear();
    for (const resume of resumes) resume();
  };
  const breakOff = (): void => {
    isBroken = true;
    resumeAll();
  };
  target.on("drain", resumeAll);
  target.on("error", breakOff);
  target.on("close", breakOff);
  const made: SharedConsole = {
    write: (chunk) => isBroken || target.write(chunk),
    drained: (resume) => {
      if (isBroken) resume();
      else waiting.add(resume);
    },
  };
  consoles.set(target, made);
  return made;
}
