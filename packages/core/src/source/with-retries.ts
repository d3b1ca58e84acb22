/** Sends one request until it succeeds or may not be sent again. */
import type { HttpSession } from "./http-session.ts";
import { RetryPolicy } from "./retry-policy.ts";

/**
 * Runs `action` under the session's retry rules and with one of its connections; `idleMs` is how long it may be silent.
 * @throws what `action` throws in the end; the reason of an aborted signal.
 */
export async function withRetries<T>(
  session: HttpSession,
  name: string,
  signal: AbortSignal | undefined,
  action: (idleMs: number) => Promise<T>,
): Promise<T> {
  const policy = new RetryPolicy(session.limits, () => {
    session.stats.retries += 1;
  });
  const run = policy.start();
  for (;;) {
    try {
      return await session.connections.with(() => action(policy.attemptIdleMs));
    } catch (error) {
      await policy.again(run, error, name, signal);
    }
  }
}
