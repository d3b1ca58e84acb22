/** What an operator reads while a barrier takes long. */
import { rankRanges } from "../topology/rank-ranges.ts";
import { describeMember } from "./barrier-error.ts";
import type { BarrierState } from "./barrier-state.ts";
import { reportOf } from "./draft.ts";

/**
 * One line per open generation, oldest first: `barrier "load", generation 3: waiting 20.0 s for 3 of 64 ranks: 5,9-10; longest silent
 * is rank 5 (node 0, host-a, pid 4242), in phase "broadcast", no progress for 12.4 s`.
 */
export function describeWaiting(state: BarrierState, nowMs: number): string[] {
  const generations = [...state.open.values()].sort((a, b) => a.openedMs - b.openedMs);
  return generations.map(({ name, generation, participants, arrived, openedMs }) => {
    const missing = participants.filter((_, at) => arrived[at] !== true);
    const reports = missing.flatMap((rank) => reportOf(state, rank, nowMs) ?? []);
    // A rank that never joined has been silent for longer than any other.
    const silence = (ms: number | null) => ms ?? Number.POSITIVE_INFINITY;
    const [longest] = reports.sort((a, b) => (silence(b.silentMs) > silence(a.silentMs) ? 1 : -1));
    const of = longest === undefined ? "" : `; longest silent is ${describeMember(longest)}`;
    const ranks = `${missing.length} of ${participants.length} ranks: ${rankRanges(missing)}`;
    return `barrier ${JSON.stringify(name)}, generation ${generation}: waiting ${((nowMs - openedMs) / 1000).toFixed(1)} s for ${ranks}${of}`;
  });
}
