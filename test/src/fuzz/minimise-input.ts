/** Makes a failing input smaller while it fails in the same way. */
import { type Examination, examineInput } from "./examine-input.ts";
import type { FuzzInput } from "./fuzz-input.ts";

const EXAMINATIONS_MAX = 1500;
const TIME_MAX_MS = 20_000;

/** The smallest input found that fails with the same kind of failure. */
export async function minimiseInput(input: FuzzInput, failure: string): Promise<FuzzInput> {
  const kind = kindOf(failure);
  let left = EXAMINATIONS_MAX;
  const deadline = performance.now() + TIME_MAX_MS;
  const fails = async (candidate: FuzzInput): Promise<boolean> => {
    left -= 1;
    const { failure: found }: Examination = await examineInput(candidate);
    return found !== null && kindOf(found) === kind;
  };
  let best = input;
  for (const name of [...input.files.keys()]) {
    const bytes = best.files.get(name);
    if (!bytes) continue;
    for (let run = Math.max(1, bytes.length >> 1); run >= 1 && left > 0; run = run === 1 ? 0 : run >> 1) {
      for (let at = 0; at < (best.files.get(name)?.length ?? 0) && left > 0 && performance.now() < deadline; ) {
        const candidate = without(best, name, at, run);
        if (await fails(candidate)) best = candidate;
        else at += run;
      }
    }
  }
  return best;
}

/** Numbers, stacks and quoted text differ from input to input. */
function kindOf(failure: string): string {
  return (failure.split("\n")[0] ?? "").replaceAll(/"[^"]*"|\d+/g, "").slice(0, 60);
}

function without(input: FuzzInput, name: string, at: number, run: number): FuzzInput {
  const bytes = input.files.get(name) ?? new Uint8Array();
  const shorter = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + run)]);
  return { ...input, files: new Map(input.files).set(name, new Uint8Array(shorter)) };
}
