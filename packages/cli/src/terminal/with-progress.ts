/** Live progress around one long call, and cancellation by Ctrl-C. */
import type { FetchHooks } from "@rankcast/core";
import { readTerminalEnvironment } from "../environment/environment.ts";
import { interruptible } from "./interruption.ts";
import { ProgressDisplay } from "./progress-display.ts";

/**
 * Runs `work` with hooks that draw on stderr; the display is gone when it settles.
 * @throws as `interruptible`.
 */
export async function withProgress<T>(work: (hooks: FetchHooks) => Promise<T>): Promise<T> {
  const terminal = readTerminalEnvironment();
  const display = new ProgressDisplay({ ...terminal, write: (text) => void process.stderr.write(text), now: () => performance.now() });
  try {
    return await interruptible((signal) =>
      work({
        signal,
        onPhase: (phase) => display.show({ type: "phase", phase }),
        onBytes: (bytes, totalBytes) => display.show({ type: "bytes", bytes, totalBytes }),
      }),
    );
  } finally {
    display.finish();
  }
}
