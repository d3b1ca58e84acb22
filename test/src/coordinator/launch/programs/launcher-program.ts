/** A launcher in a process of its own, so that it can be signalled and killed. Options come as JSON; events go to stdout, one per line. */
import { type LaunchOptions, launch, launchExitCode } from "@rankcast/coordinator";
import { describeError } from "@rankcast/core/internal";

const options: LaunchOptions = JSON.parse(process.argv[2] ?? "{}");
const say = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);

try {
  say({ type: "result", result: await launch({ ...options, output: "events", onEvent: say }) });
} catch (error) {
  say({ type: "error", error: describeError(error) });
  process.exitCode = launchExitCode(error);
}
