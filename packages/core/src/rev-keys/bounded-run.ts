/** Running code of others that may never end, in this thread. */
import { createContext, Script } from "node:vm";

/** Thrown when the time is over. */
export class TimeUp extends Error {}

const SANDBOX: { run: (() => void) | undefined } = { run: undefined };
const CALL = new Script("run()");
let context: ReturnType<typeof createContext> | undefined;

/**
 * Calls `action` and stops it after `timeoutMs`, even inside a regular expression: V8 looks for termination while it backtracks, and the
 * watchdog of `node:vm` is the one way to ask for it without a second thread. What `action` had done by then stays done. Costs 0.1 ms.
 * @throws {TimeUp} when the time is over. What `action` throws passes through.
 */
export function runBounded(action: () => void, timeoutMs: number): void {
  context ??= createContext(SANDBOX);
  SANDBOX.run = action;
  try {
    CALL.runInContext(context, { timeout: Math.max(1, Math.ceil(timeoutMs)) });
  } catch (error) {
    if ((error as { code?: unknown } | null)?.code === "ERR_SCRIPT_EXECUTION_TIMEOUT") throw new TimeUp();
    throw error;
  } finally {
    SANDBOX.run = undefined;
  }
}
