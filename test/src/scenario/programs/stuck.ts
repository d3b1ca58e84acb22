/** A replica that reads a path nobody writes to. Argument: the path. Ends with exit code 6. */
import { CheckpointError } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";

const [path = ""] = process.argv.slice(2);
const group = await joinGroup();
const pool = await group.createPool({ replica: new URL("../../worker/pool/misbehaving-replica.js", import.meta.url), replicas: 2 });
try {
  await pool.run("readSync", path, { timeoutMs: 200 });
} catch (error) {
  if (!(error instanceof CheckpointError)) throw error;
  const other = await pool.run("echo", "fine", { replica: 1 });
  const { state } = await pool.restart(0);
  process.stdout.write(JSON.stringify({ code: error.code, class: error.class, other, restarted: state }));
}
await group.close();
process.exitCode = 6;
