/**
 * One rank of a job whose secrets must not be seen: loads, then shows what a rank inherits. Arguments: weights, and a folder where the ticket of its
 * lane is left for who looks for it.
 */
import { writeFileSync } from "node:fs";
import { Socket } from "node:net";
import { joinGroup } from "@rankcast/worker";
import { createReplica } from "../replicas/fixture-model.js";

const [weights = "", folder = "."] = process.argv.slice(2);
const { write } = Socket.prototype;
Socket.prototype.write = function (this: Socket, ...said: Parameters<typeof write>) {
  const [bytes] = said;
  if (Buffer.isBuffer(bytes) && bytes.toString("latin1", 0, 3) === "RKL")
    writeFileSync(`${folder}/ticket-${process.pid}`, bytes.subarray(4));
  return write.apply(this, said);
} as typeof write;
const group = await joinGroup();
await group.loadModelCheckpoint(createReplica(), weights, { strict: true });
process.stdout.write(`${JSON.stringify({ env: process.env, argv: process.argv, execArgv: process.execArgv })}\n`);
await group.barrier("looked at");
// Errors of later collectives carry details of everything that could be wrong.
await group.barrier(group.rank === 0 ? "here" : "there", { timeoutMs: 500 }).catch((error: Error & { toJSON?: unknown }) => {
  process.stdout.write(`${error.stack} ${JSON.stringify(error, Object.getOwnPropertyNames(error))}\n`);
});
await group.close();
