/** One rank: two models in threads, one checkpoint for all of them, one weight update. */
import { fileURLToPath } from "node:url";
import { StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";

const weights = fileURLToPath(new URL("../../assets/ddp-convnet.pt", import.meta.url));

await using group = await joinGroup();
const pool = await group.createPool({ replica: new URL("../convnet-replica.js", import.meta.url), replicas: 2 });
const report = await pool.load(weights, { strict: true });
await pool.update(group.rank === 0 ? new StateDict([["head.weight", Tensor.from(new Float32Array(64 * 512).fill(0.5), [64, 512])]]) : null);
const means = await pool.runAll("meanWeight", "head");
console.log(`rank ${group.rank} of ${group.worldSize}: ${report.bytes} bytes loaded once, generation ${group.generation}, means ${means}`);
