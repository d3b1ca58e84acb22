/** The verbs, each in a module that is imported when it is asked for: what one verb needs would be waited for by all others. */
import type { Command } from "commander";

type AddVerb = (program: Command) => void;

/** In the order of the help. */
const VERBS: ReadonlyMap<string, () => Promise<AddVerb>> = new Map([
  ["load", async () => (await import("./load.ts")).addLoad],
  ["run", async () => (await import("./run.ts")).addRun],
  ["inspect", async () => (await import("./inspect.ts")).addInspect],
  ["plan", async () => (await import("./plan.ts")).addPlan],
  ["verify", async () => (await import("./verify.ts")).addVerify],
  ["download", async () => (await import("./download.ts")).addDownload],
  ["convert", async () => (await import("./convert.ts")).addConvert],
  ["diff", async () => (await import("./diff.ts")).addDiff],
  ["cache", async () => (await import("./cache.ts")).addCache],
  ["doctor", async () => (await import("./doctor.ts")).addDoctor],
]);

const VERSION_FLAGS: readonly (string | undefined)[] = ["--version", "-V"];

/** Adds the verb that `args` begin with; all of them where they begin otherwise: with the help, or with a mistake that resembles a verb. */
export async function addVerbs(program: Command, args: readonly string[]): Promise<void> {
  if (VERSION_FLAGS.includes(args[0])) return;
  const wanted = VERBS.get(args[0] ?? "");
  const adders = wanted ? [await wanted()] : await Promise.all([...VERBS.values()].map((verb) => verb()));
  for (const add of adders) add(program);
}
