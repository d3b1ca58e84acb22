/**
 * The plain way, which rankcast is compared with: every rank reads the whole file for itself and copies each tensor into a model of its own,
 * as `torch.load` and `load_state_dict` on every rank do. Arguments: path, replicas, then `offset:nbytes` of every tensor in the file.
 * Says "ready", waits for "go", says what it cost.
 */
import { readFile } from "node:fs/promises";
import { pssBytes } from "./pss.js";

const [path = "", replicas = "1", ...extents] = process.argv.slice(2);
const tensors = extents.map((text) => text.split(":").map(Number) as [number, number]);

process.on("message", async (message) => {
  if (message === "end") process.exit(0);
  const models: Uint8Array[][] = [];
  for (let replica = 0; replica < Number(replicas); replica += 1) {
    const file = await readFile(path);
    models.push(tensors.map(([offset, nbytes]) => Uint8Array.from(file.subarray(offset, offset + nbytes))));
  }
  process.send?.({ copied: models.flat().reduce((sum, { length }) => sum + length, 0) });
  process.send?.({ pssBytes: pssBytes() - before, peakRssBytes: process.resourceUsage().maxRSS * 1024 });
});

const before = pssBytes();
process.send?.("ready");
