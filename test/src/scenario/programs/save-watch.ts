/**
 * One rank that saves from its live replicas, resumes, and follows what appears in a folder. Rank 0 also writes what appears. Prints what it
 * saw. Arguments: weights, folder.
 */
import { open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { CheckpointError, StateDict, saveSafetensors, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";

/** Files that look the same twice within a quarter of a second are taken for settled. */
const PAUSE_MS = 1000;
const CUT_OFF = "step-000011.safetensors";
let cutOff = Buffer.alloc(0);

const [weights = "", folder = ""] = process.argv.slice(2);
await using group = await joinGroup();
const pool = await group.createPool({ replica: new URL("../replicas/fixture-model.js", import.meta.url), replicas: 2 });
const nothing = await group.resume(folder);
await pool.load(weights, { strict: true });
const paths = [await group.save(folder), await group.save(folder, { step: 7, shards: "ranks", metadata: { run: "a" } })];
const resumed = await group.resume(folder);
const before = await pool.runAll("tensorDigests");
const loaded: unknown[] = [];
for (const path of paths) {
  await pool.load(path, { strict: true });
  loaded.push(await pool.runAll("tensorDigests"));
}
// Runs that died while they saved have left this; whoever saves a later step may still be writing.
for (const step of ["03", "99"])
  if (group.rank === 0) await writeFile(join(folder, `.step-0000${step}.safetensors.77.ab.tmp`), "half of it");
await group.save(folder, { step: 8, keep: 2 });
const refused = await group.save(join(weights, "no", "folder")).then(
  () => null,
  (error: unknown) =>
    error instanceof CheckpointError ? [error.code, (error.details["rootCause"] as { rank: number }).rank] : String(error),
);

const seen: unknown[] = [];
const stop = new AbortController();
const told: unknown[] = [];
const onIncomplete = (error: CheckpointError): void => {
  told.push([error.code, basename(String(error.details["weights"])), (error.cause as CheckpointError).class]);
  // Its writer has died; another one takes over.
  if (told.length === 1) void writeFile(join(folder, CUT_OFF), cutOff);
};
for await (const found of group.watch(folder, { pollMs: 20, signal: stop.signal, incompleteAfterMs: 3 * PAUSE_MS, onIncomplete })) {
  await pool.load(found.weights);
  seen.push([found.step, (await pool.runAll("valuesOf", "fc.bias"))[1], group.generation]);
  if (group.rank !== 0) continue;
  if (found.step === 8) await appear("step-000009.safetensors", 9);
  if (found.step === 9) await appear("step-000010.safetensors", 10);
  if (found.step === 10) await leaveCutOff();
  if (found.step === 11) stop.abort("seen enough");
}
process.stdout.write(
  JSON.stringify({ nothing, paths, resumed, before, loaded, refused, seen, told, gathered: await group.allGather(group.rank * 2) }),
);

/** As a trainer that is killed while it writes. */
async function leaveCutOff(): Promise<void> {
  await saveSafetensors(
    join(folder, ".other"),
    new StateDict((await pool.stateDict()).set("fc.bias", Tensor.from(new Float32Array([11, 11]), [2]))),
  );
  cutOff = await readFile(join(folder, ".other"));
  await rm(join(folder, ".other"));
  await writeFile(join(folder, CUT_OFF), cutOff.subarray(0, cutOff.length - 1));
}

/** As a trainer on another machine would: under another name first. */
async function appear(name: string, value: number): Promise<void> {
  const full = await pool.stateDict();
  full.set("fc.bias", Tensor.from(new Float32Array([value, value]), [2]));
  await writeFile(join(folder, `${name}.tmp`), "half of it");
  await saveSafetensors(join(folder, ".other"), new StateDict(full));
  if (value === 9) await rename(join(folder, ".other"), join(folder, name));
  else await writeInPlace(join(folder, name), await readFile(join(folder, ".other")));
  await rm(join(folder, ".other"), { force: true });
}

/** As a trainer on a slow file system would: with a pause in the middle that is longer than several looks. */
async function writeInPlace(path: string, bytes: Buffer): Promise<void> {
  const file = await open(path, "w");
  await file.write(bytes.subarray(0, bytes.length - 100));
  void setTimeout(PAUSE_MS).then(async () => {
    await file.write(bytes.subarray(bytes.length - 100));
    await file.close();
  });
}
