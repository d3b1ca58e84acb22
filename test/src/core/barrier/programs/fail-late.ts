/**
 * Lets the same barrier fail again and again, with a second rank that comes late and fails by itself; run with --expose-gc. Prints by how many bytes the heap
 * has grown over the last generations.
 */
import { BarrierRun, createBarrierState } from "@rankcast/core/internal";

const WARM = 500;
const GENERATIONS = 3000;

const run = new BarrierRun(createBarrierState({ epoch: 1, worldSize: 2 }));
for (const rank of [0, 1]) {
  const place = { localRank: rank, nodeRank: 0, host: "h", pid: 1 + rank };
  run.step({ type: "join", nowMs: 0, epoch: 1, rank, incarnation: 1, place });
}
let beginBytes = 0;
for (let generation = 1; generation <= GENERATIONS; generation += 1) {
  for (const rank of [0, 1]) {
    const error = { name: "Error", message: `rank ${rank} can not go on (${generation})` };
    const about = { name: "load", generation, digest: "", participants: null, timeoutMs: 1000 } as const;
    const said = run.step({ type: "arrive", nowMs: 0, epoch: 1, rank, incarnation: 1, ...about, outcome: { type: "failed", error } });
    const expected = rank === 0 ? "decide" : "reply";
    if (said[0]?.type !== expected) throw new Error(`generation ${generation}, rank ${rank}: ${said[0]?.type} instead of ${expected}`);
  }
  if (generation === WARM) beginBytes = heldBytes();
}
process.stdout.write(String(heldBytes() - beginBytes));
// The machine must still be there when it is measured.
if (run.state.sequence !== GENERATIONS) throw new Error("not every generation was decided");

function heldBytes(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}
