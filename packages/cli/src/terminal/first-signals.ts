/**
 * SIGINT and SIGTERM while nobody else listens: before a verb has begun, which is most of the time of a short one, and after it has ended.
 * Imports nothing: it is the first that the program runs, and what it stands in for is what is being imported.
 */

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** Signals that end the command. */
export type EndingSignal = (typeof SIGNALS)[number];

let pending: EndingSignal | null = null;
let end: ((name: EndingSignal) => void) | null = null;

for (const name of SIGNALS) {
  process.on(name, () => {
    // Work that goes on has its own way to stop.
    if (process.listenerCount(name) > 1) return;
    if (end) end(name);
    // The second one is impatient, and there is nothing to put in order yet. Exit codes are the shell's: 128 and the signal's number.
    else if (pending) process.exit(name === "SIGINT" ? 130 : 143);
    else pending = name;
  });
}

/** Ends the command by `how`, which does not return, at signals that nobody else listens for; at once when one has come already. */
export function endOnSignal(how: (name: EndingSignal) => never): void {
  end = how;
  if (pending) how(pending);
}
