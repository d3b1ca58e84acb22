/**
 * One rank of rankcast in the comparison with its peers. Order in the variable `RANKCAST_PEERS_ORDER`: which file, how to load it, and where
 * to leave what it cost. As in torch_ranks.py: all ranks joined and models built, barrier, load with one element of each 4 KiB page read
 * (`prefault`).
 */
import { writeFileSync } from "node:fs";
import { Module, Parameter } from "@rankcast/core";
import { type GroupLoadOptions, joinGroup } from "@rankcast/worker";

/** What a rank is told. Plain data. */
export interface PeersOrder {
  readonly path: string;
  /** `adopt`: parameters become views. `copy`: they get memory of their own. */
  readonly how: "adopt" | "copy";
  /** 0: the model lives in the rank's main thread; else in as many threads. */
  readonly replicas: number;
  readonly tensors: readonly (readonly [name: string, shape: readonly number[]])[];
  /** Rank n writes `<result>.<n>`. */
  readonly result: string;
}

/** What a rank says. */
export interface PeersRankResult {
  /** When it left the barrier "ready", by the machine's monotonic clock, which all processes share. */
  readonly readyMs: number;
  /** When it was released from the load's last barrier, by the same clock. What it then reports (memory, digests) is not loading. */
  readonly loadedMs: number;
  /** Of the whole job with its coordinator. */
  readonly pssBytes: number | null;
  readonly peakRssBytes: number;
  /** Sum of one element per page; null when the models are in threads. */
  readonly touched: number | null;
}

const PAGE_ELEMENTS = 1024;

const order = JSON.parse(process.env["RANKCAST_PEERS_ORDER"] ?? "null") as PeersOrder;
const copy = order.how === "copy";
// A copy touches every page of the model by itself.
const options: GroupLoadOptions = {
  immutable: true,
  strict: true,
  prefault: !copy,
  assign: copy ? "never" : "auto",
  onProgress: ({ phase }) => {
    if (phase === "reporting") loadedMs = monotonicMs();
  },
};
let loadedMs = Number.NaN;
await using group = await joinGroup();
const model = buildModel();
const pool = order.replicas === 0 ? null : await group.createPool({ replicas: order.replicas });
await group.barrier("ready");
const readyMs = monotonicMs();
const report = await (pool ? pool.load(order.path, options) : group.loadModelCheckpoint(model, order.path, options));
const result: PeersRankResult = {
  readyMs,
  loadedMs,
  pssBytes: report.memory.pssBytes,
  peakRssBytes: process.resourceUsage().maxRSS * 1024,
  touched: pool ? null : touch(model),
};
writeFileSync(`${order.result}.${group.rank}`, JSON.stringify(result));

function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function buildModel(): Module {
  const root = new Module();
  for (const [name, shape] of order.tensors) {
    const path = name.replace(/^module\./, "").split(".");
    const leaf = path.pop() ?? "";
    let module = root;
    for (const part of path) {
      const child = module.ownChildren.get(part) ?? new Module();
      if (!module.ownChildren.has(part)) module.registerModule(part, child);
      module = child;
    }
    module.registerParameter(leaf, Parameter.meta("float32", shape));
  }
  return root;
}

/** After the clock: whether all ways have loaded the same. */
function touch(loaded: Module): number {
  let sum = 0;
  for (const [, { tensor }] of loaded.namedParameters()) {
    const values = tensor.data as Float32Array;
    for (let at = 0; at < values.length; at += PAGE_ELEMENTS) sum += values[at] ?? 0;
  }
  return sum;
}
