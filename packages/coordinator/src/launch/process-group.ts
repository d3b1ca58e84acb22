/** Process groups: a rank leads its own, so that whatever it starts ends with it. */

/** Signals every process of the group; false when none is left. */
export function signalGroup(leader: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-leader, signal);
    return true;
  } catch (error) {
    // EPERM: somebody in it changed its user id; it exists.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

const POLL_MS = 20;

/**
 * Ends what a rank left behind: SIGTERM, then SIGKILL after `graceMs`. Resolves when the group is empty, or shortly after SIGKILL
 * (a container without init keeps dead processes in it for ever).
 */
export async function endGroup(leader: number, graceMs: number): Promise<void> {
  if (!signalGroup(leader, "SIGTERM")) return;
  if (await isEmptyWithin(leader, graceMs)) return;
  signalGroup(leader, "SIGKILL");
  await isEmptyWithin(leader, 500);
}

async function isEmptyWithin(leader: number, limitMs: number): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < limitMs; waitedMs += POLL_MS) {
    if (!signalGroup(leader, 0)) return true;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return !signalGroup(leader, 0);
}
