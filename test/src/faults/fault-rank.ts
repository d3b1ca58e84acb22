/**
 * One rank of a job that takes update after update from one rank until it has taken them all or the job fails; says on stderr when each begins, how the
 * job ended, and what its replica holds then. Arguments: updates, source rank.
 */
import { CheckpointError } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";
import { weightsOf } from "./turning-model.js";

// Launchers end the ranks of a job that failed; this one wants to hear of it from its coordinator.
process.on("SIGTERM", () => undefined);
const [updates, src] = process.argv.slice(2).map(Number) as [number, number];
const group = await joinGroup();
const say = (what: object): void =>
  void process.stderr.write(`@${JSON.stringify({ rank: group.rank, pid: process.pid, nodeRank: group.nodeRank, ...what })}\n`);
let turn = 0;
try {
  const pool = await group.createPool({ replica: new URL("turning-model.js", import.meta.url), replicas: 1 });
  const held = async (): Promise<unknown> => pool.run("heldOf", [turn, turn - 1]);
  say({ ready: true, epoch: process.env["RANKCAST_EPOCH"] });
  try {
    for (turn = 1; turn <= updates; turn += 1) {
      say({ begins: turn, ms: Date.now() });
      await pool.update(group.rank === src ? weightsOf(turn) : null, { src });
    }
    say({ ended: true, held: await held(), updates });
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    const failedMs = Date.now();
    say({ code: error.code, rootCause: error.details["rootCause"], failedMs, turn, held: await held() });
    process.exitCode = 3;
  }
  await group.close();
} catch (error) {
  // Building the pool, or leaving, met the end of the job.
  const { code = "", details = {} } = error instanceof CheckpointError ? error : {};
  say({ code, rootCause: details["rootCause"], failedMs: Date.now(), turn, held: -1, text: String(error) });
  process.exit(3);
}
