/**
 * One rank of several nodes that waits at a barrier that will never be whole, because rank 0 is at another one, until the job fails; says on stderr how it learned. With
 * `flaky` all ranks come to it, but rank 1 ends with an error in the first attempt.
 */
import { CheckpointError } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";

// Launchers end the ranks of a job that failed; this one wants to hear of it from its coordinator.
process.on("SIGTERM", () => undefined);
const [mode = "hold"] = process.argv.slice(2);
const group = await joinGroup().catch((error: unknown) => {
  const { code = "", class: kind = "", message = "", details = {} } = error instanceof CheckpointError ? error : {};
  process.stderr.write(
    `@${JSON.stringify({ rank: Number(process.env["RANK"]), pid: process.pid, code, class: kind, message, details })}\n`,
  );
  process.exit(3);
});
await group.barrier("ready");
const say = (what: object): void =>
  void process.stderr.write(`@${JSON.stringify({ rank: group.rank, pid: process.pid, nodeRank: group.nodeRank, ...what })}\n`);
say({ holds: true, attempt: process.env["TORCHELASTIC_RESTART_COUNT"], epoch: process.env["RANKCAST_EPOCH"] });
try {
  if (mode === "flaky") {
    if (group.rank === 1 && process.env["TORCHELASTIC_RESTART_COUNT"] === "0") throw new RangeError("out of luck");
    await group.barrier("end");
  } else await group.barrier(group.rank === 0 ? "elsewhere" : "end");
  await group.close();
} catch (error) {
  const { code = "", class: kind = "", message = "", details = {} } = error instanceof CheckpointError ? error : {};
  say({ code, class: kind, message, rootCause: details["rootCause"], failedMs: Date.now() });
  if (!(error instanceof CheckpointError)) group.abort(error);
  await group.close();
  process.exitCode = 3;
}
