/** `rankcast load`: the main job. Spawns ranks on this node, or is one of them when a launcher has started it. */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { LoadReport } from "@rankcast/core";
import { detectRank, readHostFacts, UsageError } from "@rankcast/core/launcher";
import type { Command } from "commander";
import { allVariables, readTerminalEnvironment } from "../environment/environment.ts";
import { addCheckpointOptions, type CheckpointFlags, fetchOptionsOf, revKeysOf } from "../option/checkpoint-options.ts";
import { addLaunchOptions, launchValuesOf } from "../option/launch-options.ts";
import { launchLoad } from "../rank/launch-load.ts";
import type { LoadRequest } from "../rank/load-request.ts";
import { formatMs } from "../terminal/format-bytes.ts";
import { ProgressDisplay } from "../terminal/progress-display.ts";

interface LoadFlags extends CheckpointFlags {
  readonly replicasPerRank?: string;
  readonly model?: string;
  readonly assign: string;
  readonly fetch: string;
  readonly digest?: boolean;
  readonly prefault?: boolean;
  readonly timeout?: string;
  readonly updates: string;
}

/** Adds the verb. */
export function addLoad(program: Command): void {
  const command = addCheckpointOptions(
    program.command("load").argument("<weights>", "path, URL or scheme://name").summary("load once, cast to every rank"),
  )
    .option(
      "--replicas-per-rank <count>",
      "replicas per rank, each in a thread; 0 = one in the rank's main thread (default: 1 with --model, else 0)",
    )
    .option("--model <file>", "module that exports createReplica; default: replicas are built from the checkpoint")
    .option("--assign <when>", "auto, always or never: whether parameters become views of the shared memory", "auto")
    .option("--fetch <policy>", "which nodes go to the origin: once-per-job, once-per-node or shared-fs", "once-per-job")
    .option("--digest", "add the SHA-256 of each replica's state to the report")
    .option("--prefault", "read one byte of every page of every replica before the barrier")
    .option("--timeout <seconds>", "longest silence of a rank at a barrier")
    .option("--updates <count>", "weight updates from rank 0 after the load", "0");
  addLaunchOptions(command);
  command.action(async (weights: string, flags: LoadFlags) => run(weights, flags, command));
}

async function run(weights: string, flags: LoadFlags, command: Command): Promise<void> {
  const request = requestOf(weights, flags);
  const detected = detectRank(allVariables(), readHostFacts());
  if (detected.launcher !== "single") {
    // Only a rank needs what ranks run on; the launcher starts sooner without it.
    const { performLoad } = await import("../rank/perform-load.ts");
    const { rank, report } = await performLoad(request);
    if (rank === 0) printReport(report, [], flags.json === true);
    return;
  }
  const terminal = readTerminalEnvironment();
  const display = new ProgressDisplay({ ...terminal, write: (text) => void process.stderr.write(text), now: () => performance.now() });
  try {
    await launchLoad(request, {
      flags: launchValuesOf({ ...flags }, command),
      ...(flags.timeout === undefined ? {} : { barrierTimeoutMs: secondsOf("timeout", flags.timeout) * 1000 }),
      onEvent: (event) => display.show(event),
      onLoaded: (report, updates) => {
        display.finish();
        printReport(report, updates, flags.json === true);
      },
    });
  } finally {
    display.finish();
  }
}

function requestOf(weights: string, flags: LoadFlags): LoadRequest {
  return {
    weights,
    options: {
      ...fetchOptionsOf(flags),
      fetch: oneOf("fetch", flags.fetch, ["once-per-job", "once-per-node", "shared-fs"] as const),
      revKeys: revKeysOf(flags),
      strict: flags.strict ?? false,
      assign: oneOf("assign", flags.assign, ["auto", "always", "never"] as const),
      ...(flags.dtype === undefined ? {} : { dtype: flags.dtype as NonNullable<LoadRequest["options"]["dtype"]> }),
      digest: flags.digest ?? false,
      prefault: flags.prefault ?? false,
    },
    // A thread keeps the rank awake while a user's module works; without one it would only have to be started.
    replicasPerRank: wholeNumber("replicas-per-rank", flags.replicasPerRank ?? (flags.model === undefined ? "0" : "1")),
    model: flags.model === undefined ? null : pathToFileURL(resolve(flags.model)).href,
    updates: wholeNumber("updates", flags.updates),
  };
}

function wholeNumber(option: string, text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new UsageError("RANKCAST_USAGE", `--${option} needs a whole number, not ${JSON.stringify(text)}`, { details: { option } });
}

function secondsOf(option: string, text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value) && value > 0) return value;
  throw new UsageError("RANKCAST_USAGE", `--${option} needs a number of seconds above 0, not ${JSON.stringify(text)}`, {
    details: { option },
  });
}

function oneOf<T extends string>(option: string, value: string, known: readonly T[]): T {
  const found = known.find((each) => each === value);
  if (found !== undefined) return found;
  throw new UsageError("RANKCAST_USAGE", `--${option} is one of ${known.join(", ")}, not ${JSON.stringify(value)}`, {
    details: { option, known: [...known] },
  });
}

function printReport(report: LoadReport, updates: readonly LoadReport[], json: boolean): void {
  if (json) {
    process.stdout.write(`${JSON.stringify(updates.length === 0 ? report : { ...report.toJSON(), updates })}\n`);
    return;
  }
  const lines = updates.map(
    ({ generation, timings }) => `weight update: generation ${generation} on every rank in ${formatMs(timings.totalMs)}`,
  );
  process.stdout.write(`${[report.toString(), ...lines].join("\n")}\n`);
}
