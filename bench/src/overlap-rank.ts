/** One rank of `overlap`: loads one URL into a model of a kind, once. Arguments: URL, cache directory, kind, MiB of the model. */
import { Module, Parameter, Storage, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";
import { OVERLAP_TENSORS } from "./overlap-kinds.js";

const [url = "", cacheDir = "", kind = "", mebibytes = "0"] = process.argv.slice(2);
const rows = (Number(mebibytes) * 2 ** 20) / 4 / OVERLAP_TENSORS / 1024;

const model = new Module();
for (let index = 0; index < OVERLAP_TENSORS; index += 1) {
  const shape = [rows, 1024];
  const own = (): Parameter => {
    const storage = Storage.allocate(rows * 1024 * 4);
    storage.bytes().fill(1);
    return new Parameter(new Tensor({ dtype: "float32", shape, storage }));
  };
  model.registerParameter(
    `p${index}`,
    kind === "cast" || kind === "plain" ? own() : Parameter.meta(kind === "adopt-half" ? "bfloat16" : "float32", shape),
  );
}
await using group = await joinGroup();
await group.barrier("built");
const report = await group.loadModelCheckpoint(model, url, { cacheDir, strict: true, ...(kind === "fresh" ? { assign: "never" } : {}) });
process.send?.({ timings: report.timings, copiedAhead: report.ranks[group.rank]?.replicas[0]?.copiedAhead ?? 0 });
