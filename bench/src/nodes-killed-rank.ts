/** A rank of `nodes.ts`: in every attempt another one kills itself; the others note when they have the typed error. Arguments: file, kills. */
import { appendFileSync } from "node:fs";
import type { CheckpointError } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";

const [out = "", kills = "0"] = process.argv.slice(2);
const attempt = Number(process.env["TORCHELASTIC_RESTART_COUNT"]);
if (attempt >= Number(kills)) process.exit(0);
// The launcher ends the others at the same time; what is measured is when their coordinators tell them.
process.on("SIGTERM", () => undefined);
const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;
const group = await joinGroup();
const note = (what: object): void => appendFileSync(out, `${JSON.stringify({ attempt, rank: group.rank, atMs: nowMs(), ...what })}\n`);
await group.barrier("ready");
if (group.rank === (attempt * 5) % group.worldSize) {
  // The others are at their barrier by then.
  await new Promise((resolve) => setTimeout(resolve, 30));
  note({ killed: true });
  process.kill(process.pid, "SIGKILL");
}
try {
  await group.barrier("end");
} catch (error) {
  const { code, details } = error as CheckpointError;
  note({ code, root: (details["rootCause"] as { readonly rank?: number } | undefined)?.rank });
}
process.exit(1);
