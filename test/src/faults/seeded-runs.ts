/** The same case again and again, each run with a seed of its own that a failure names. */
import { CommandSandbox } from "../support/command-sandbox.js";

/** Runs per case; `npm run test:faults -- [runs [seed]]`. */
export const RUNS = Number(process.env["RANKCAST_FAULT_RUNS"] ?? 2);
const SEED = Number(process.env["RANKCAST_FAULT_SEED"] ?? 1);

/** What a run has to choose with, and where it takes place. */
export interface SeededRun {
  readonly sandbox: CommandSandbox;
  /** From 0 (inclusive) to 1, the same for the same seed. */
  chance(): number;
}

/** Runs it `runs` times; nothing may be left behind by any. Gives what each run gave. */
export async function seededRuns<T>(work: (run: SeededRun) => Promise<T>, runs = RUNS): Promise<T[]> {
  const results: T[] = [];
  for (let seed = SEED; seed < SEED + runs; seed += 1) {
    const sandbox = new CommandSandbox();
    let state = Math.imul(seed, 0x9e37_79b1) >>> 0;
    const chance = (): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 2 ** 32;
    };
    try {
      chance();
      results.push(await work({ sandbox, chance }));
      const left = await sandbox.leftovers();
      if (left.length > 0) throw new Error(`left behind: ${left.join("; ")}`);
    } catch (error) {
      throw new Error(`seed ${seed} (RANKCAST_FAULT_RUNS=1 RANKCAST_FAULT_SEED=${seed} runs it alone): ${(error as Error).message}`, {
        cause: error,
      });
    } finally {
      sandbox.close();
    }
  }
  return results;
}
