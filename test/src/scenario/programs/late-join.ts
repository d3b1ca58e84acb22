/**
 * One rank that says it waits, joins when a file is there (its first argument; none: at once), says that it has joined, and waits for the others at a
 * barrier. Says on stderr how it learned that there is nothing to wait for.
 */
import { existsSync } from "node:fs";
import { watch } from "node:fs/promises";
import { dirname } from "node:path";
import { CheckpointError } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";

const [path] = process.argv.slice(2);
const say = (what: object): void =>
  void process.stderr.write(`@${JSON.stringify({ rank: Number(process.env["RANK"]), pid: process.pid, ...what })}\n`);
if (path !== undefined) {
  const changes = watch(dirname(path));
  say({ waits: true });
  if (!existsSync(path)) for await (const _ of changes) if (existsSync(path)) break;
}
try {
  const group = await joinGroup();
  say({ joined: true });
  await group.barrier("end");
  await group.close();
} catch (error) {
  say({ code: error instanceof CheckpointError ? error.code : String(error) });
  process.exit(3);
}
