/** Brings the code that opening weights needs into this process before somebody waits for it. */

/** Imports schemes and readers, which `openWeights` otherwise imports when it is first called; never rejects: that call meets the same failure. */
export async function importReaders(): Promise<void> {
  await Promise.allSettled([import("../scheme/resolve-weights.ts"), import("../format/read-checkpoint.ts")]);
}
