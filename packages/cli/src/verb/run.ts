/** `rankcast run`: launcher with torchrun's flags; spawns and supervises the rank processes of a user's script. */
import { launch, launchExitCode } from "@rankcast/coordinator/launcher";
import { CheckpointError, UsageError } from "@rankcast/core/launcher";
import type { Command } from "commander";
import { readTerminalEnvironment } from "../environment/environment.ts";
import { addLaunchOptions, launchValuesOf } from "../option/launch-options.ts";
import { describeRefusals } from "../terminal/describe-refusals.ts";
import { printError } from "../terminal/print-error.ts";

/** Adds the verb. */
export function addRun(program: Command): void {
  const command = program
    .command("run")
    .argument("<script>", "the program each rank runs")
    .argument("[args...]", "its arguments")
    .summary("spawn and supervise the ranks of a script, torchrun's flags")
    .option("--json", "print one JSON document on stdout when all ranks have ended")
    .option("--metrics-port <port>", "serve Prometheus metrics of the job on this port of 127.0.0.1; 0 finds a free one")
    .passThroughOptions();
  addLaunchOptions(command);
  command.action((script: string, args: readonly string[], flags: Readonly<Record<string, unknown>>) => run(script, args, flags, command));
}

function portOf(text: unknown): number {
  if (typeof text === "string" && /^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new UsageError("RANKCAST_USAGE", `--metrics-port needs a port from 0 to 65535, not ${JSON.stringify(text)}`, {
    details: { option: "metricsPort" },
  });
}

async function run(script: string, args: readonly string[], flags: Readonly<Record<string, unknown>>, command: Command): Promise<void> {
  const json = flags["json"] === true;
  try {
    const { reports, ...result } = await launch({
      ...launchValuesOf(flags, command),
      script,
      args,
      ...(flags["metricsPort"] === undefined ? {} : { metricsPort: portOf(flags["metricsPort"]) }),
      onMetrics: (url) => process.stderr.write(`metrics at ${url}\n`),
      // With --json, stdout is one document: the ranks' own output goes to stderr.
      ...(json ? { output: { stdout: process.stderr, stderr: process.stderr } } : {}),
      onCoordinatorEvent: (event) => {
        if (event.type === "refused") process.stderr.write(`${describeRefusals(event)}\n`);
      },
      onEvent: (event) => {
        if (event.type === "notice") process.stderr.write(`${event.message}\n`);
        if (event.type === "restarting") process.stderr.write(`restarting all ranks; ${event.restartsLeft} restarts left\n`);
      },
    });
    if (json) process.stdout.write(`${JSON.stringify({ ...result, reports })}\n`);
  } catch (error) {
    if (!(error instanceof CheckpointError) || error.class === "usage") throw error;
    const { table } = error.details;
    if (typeof table === "string" && !json) process.stderr.write(`${table}\n`);
    // A rank's last words may have no line end of their own: the document begins on a line of its own all the same.
    const write = (text: string): void => void process.stderr.write(json ? `\n${text}` : text);
    printError(error, { json, colour: readTerminalEnvironment().colour, write });
    process.exitCode = launchExitCode(error);
  }
}
