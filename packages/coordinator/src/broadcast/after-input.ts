/** Judging others by the clock only after hearing them out. */

/**
 * Runs after whatever has arrived by now was read. A thread that did not run for a while finds its timers due before it reads its sockets,
 * and would call silent what it has not listened to.
 */
export function afterInput(run: () => void): void {
  // Immediates run after the loop has polled, and what is polled may come in several turns.
  setImmediate(() => setImmediate(run));
}
