/**
 * One rank that loads, touches every page, and stays until SIGTERM, so that its memory can be looked at from outside. Arguments: weights,
 * bytes to overwrite, `assign`.
 */
import { joinGroup } from "@rankcast/worker";

const [weights = "", writtenBytes = "0", assign = "auto"] = process.argv.slice(2);
const stopped = new Promise((resolve) => process.once("SIGTERM", resolve));
await using group = await joinGroup();
const { model } = await group.loadCheckpoint(weights, { immutable: true, prefault: true, assign: assign as "auto" | "never" });
let left = Number(writtenBytes);
for (const tensor of model.stateDict().values()) {
  const bytes = tensor.storage.bytes(0, Math.min(left, tensor.storage.nbytes));
  bytes.fill(1);
  left -= bytes.length;
}
await group.barrier("written");
process.stderr.write("holding\n");
const alive = setInterval(() => undefined, 60_000);
await stopped;
clearInterval(alive);
