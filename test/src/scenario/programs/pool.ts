/** One rank with two replicas in threads: load, calls by name, a write by one replica, an update. Arguments: weights. */
import { CheckpointError, StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";

const [weights = ""] = process.argv.slice(2);
await using group = await joinGroup();
const pool = await group.createPool({ replica: new URL("../replicas/fixture-model.js", import.meta.url), replicas: 2 });
const report = await pool.load(weights, { strict: true, digest: true });
const loaded = await pool.runAll("tensorDigests");
const places = await pool.runAll("whereAmI");
const before = await pool.run("valuesOf", "fc.bias", { replica: 0 });
await pool.run("scale", { name: "fc.bias", factor: 2 }, { replica: 1 });
const written = await pool.runAll("valuesOf", "fc.bias");
const update = await pool.update(group.rank === 0 ? new StateDict([["fc.bias", Tensor.from(new Float32Array([5, 6]), [2])]]) : null);
const updated = await pool.runAll("valuesOf", "fc.bias");
const failures = [await failureOf("fail", "no gradient"), await failureOf("no_such_function", null)];
const stillThere = await pool.run("valuesOf", "fc.bias");
process.stdout.write(
  JSON.stringify({
    report,
    loaded,
    places,
    before,
    written,
    generation: update.generation,
    updated,
    failures,
    stillThere,
    pid: process.pid,
  }),
);

async function failureOf(name: string, args: unknown): Promise<unknown> {
  try {
    return await pool.run(name, args);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    return { class: error.class, code: error.code, message: error.message, cause: String((error.cause as Error | undefined)?.name) };
  }
}
