/** The command line: verbs, and one way for every failure to end. */
import { readFileSync } from "node:fs";
import { CheckpointError, UsageError } from "@rankcast/core/launcher";
import { Command, CommanderError } from "commander";
import { readTerminalEnvironment } from "./environment/environment.ts";
import { endOnSignal } from "./terminal/first-signals.ts";
import { guardOutput } from "./terminal/guard-output.ts";
import { interruption } from "./terminal/interruption.ts";
import { exitCodeOf, printError } from "./terminal/print-error.ts";
import { addVerbs } from "./verb/add-verbs.ts";

const USAGE_EXIT_CODE = 2;

// From dist/flat, where this is run.
const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
const program = new Command("rankcast")
  .description("Loads a model checkpoint once and casts it to every rank.")
  .version(version)
  .exitOverride()
  .showHelpAfterError("(add --help for all options)")
  .enablePositionalOptions();

await addVerbs(program, process.argv.slice(2));
for (const command of program.commands) command.exitOverride();

guardOutput(process.stdout, process.stderr, (error) => {
  fail(error);
  process.exitCode = exitCodeOf(error);
});

endOnSignal((name) => {
  const error = interruption(name);
  fail(error);
  process.exit(exitCodeOf(error));
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Help and version are no failures. Commander has told people already; programs get the same as a document.
    if (error.exitCode !== 0 && jsonWanted()) fail(new UsageError("RANKCAST_USAGE", error.message.replace(/^error: /, "")));
    process.exitCode = error.exitCode === 0 ? 0 : USAGE_EXIT_CODE;
  } else {
    fail(error);
    process.exitCode = exitCodeOf(error);
    // What the interrupted work still waits for (a server, a lock) must not hold the process.
    if (error instanceof CheckpointError && error.code === "RANKCAST_INTERRUPTED") process.exit();
  }
}

function jsonWanted(): boolean {
  return process.argv.includes("--json");
}

function fail(error: unknown): void {
  printError(error, { json: jsonWanted(), colour: readTerminalEnvironment().colour, write: (text) => void process.stderr.write(text) });
}
