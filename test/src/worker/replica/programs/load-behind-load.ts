/**
 * A small load, and a load of a large file right behind it that takes longer than a load is given before its memory is counted: run with --trace-gc. Prints
 * "prepared" when that time is over, "over" when the large load's own is. Argument: path of the file.
 */
import { statSync, writeSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { StateDict, Tensor } from "@rankcast/core";
import { encodeManifest, flattenPlacements, manifestFromStateDict } from "@rankcast/core/runtime";
import { prepareDelivery, ReplicaHost } from "@rankcast/worker/internal";

const [path = ""] = process.argv.slice(2);
const LABEL = { generation: 0, version: "", number: null };
/** Longer than the pause between a load and the counting. */
const PATIENCE_MS = 500;

const { manifest } = manifestFromStateDict(new StateDict([["weight", Tensor.from(new Float32Array(4), [4])]]));
const { size, mtimeMs, ino } = statSync(path);
const segment = { kind: "file" as const, path, offset: 0, nbytes: size, sizeBytes: size, mtimeMs, inode: ino };
const placed = flattenPlacements([segment], [{ segment: 0, byteOffset: 0, nbytes: 16 }]);
const load = (host: ReplicaHost): void =>
  host.prepare(prepareDelivery({ manifest: encodeManifest(manifest), placed, limits: {} }, 1, false), { prefault: true });

const first = new ReplicaHost(null);
first.prepare(
  prepareDelivery(
    {
      manifest: encodeManifest(manifest),
      placed: flattenPlacements([{ ...segment, nbytes: 4096 }], [{ segment: 0, byteOffset: 0, nbytes: 16 }]),
      limits: {},
    },
    1,
    false,
  ),
  {},
);
first.commit(LABEL);
first.facts(false);
const second = new ReplicaHost(null);
load(second);
let sum = 0;
await busyPause();
writeSync(1, `prepared ${sum}\n`);
second.commit(LABEL);
second.facts(false);
await busyPause();
writeSync(1, `over ${sum}\n`);

/** Something has to be allocated for a collection to make steps. */
async function busyPause(): Promise<void> {
  for (let turn = 0; turn < PATIENCE_MS / 20; turn += 1) {
    await pause(20);
    sum += new Array(10_000).fill(turn).length;
  }
}
