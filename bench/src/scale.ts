/**
 * How long a broadcast takes on clusters nobody has at hand: the real plan, chunk by chunk through every node's network card, with what a hop
 * was measured to cost. Beside it the textbook formulas. Prints a table, or JSON with `--json`.
 *
 *     node bench/dist/scale.js [--handling-ms 7] [--lane-gbs 0.57] [--round-trip-ms 0.2,2] [--nodes 2,...,1024] [--gib 0.0625,1,100] [--gbit 1,10,100] [--json]
 *
 * `--handling-ms`: what a chunk costs beyond its time on the wire, per hop (checksum, write, two threads). `--lane-gbs`: the most that one node's lane
 * carries. Both defaults are from `broadcast.js` on two shared cores: eight nodes and two with one chunk of 1 MiB (50 and 7 ms), and two with 512 MiB; a card that
 * is faster than the lane is not used up. `--round-trip-ms`: of the network, one table each.
 *
 * Formulas, for S bytes, rate B, k chunks, N nodes and a hop of α (half the round trip and the handling): chain kS/B/k + α + (N - 2)(S/(kB) + α), binomial tree of
 * whole messages ⌈log2 N⌉(α + S/B), scatter and allgather (⌈log2 N⌉ + N - 1)α + 2(N - 1)/N·S/B, two trees S/B + 2⌈log2 N⌉(S/(kB) + α), one by one (N - 1)(α + S/B).
 */
import { parseArgs } from "node:util";
import {
  type BroadcastOffer,
  type BroadcastPlan,
  chainMs,
  chooseChunkBytes,
  type HopCost,
  hopMs,
  planBroadcast,
} from "@rankcast/core/internal";

const GIB = 2 ** 30;
const { values } = parseArgs({
  options: {
    "handling-ms": { type: "string", default: "7" },
    "lane-gbs": { type: "string", default: "0.57" },
    "round-trip-ms": { type: "string", default: "0.2,2" },
    nodes: { type: "string", default: "2,4,8,16,64,128,256,512,1024" },
    gib: { type: "string", default: "0.0625,1,100" },
    gbit: { type: "string", default: "1,10,100" },
    json: { type: "boolean", default: false },
  },
});
const list = (text: string): number[] => text.split(",").map(Number);
const handlingMs = Number(values["handling-ms"]);
const laneRate = Number(values["lane-gbs"]) * 1e9;

interface Row {
  readonly roundTripMs: number;
  readonly gib: number;
  readonly gigabits: number;
  readonly nodes: number;
  readonly shape: string;
  /** Hops to the farthest node. */
  readonly depth: number;
  readonly chunkMib: number;
  readonly simulated: number;
  readonly link: number;
  readonly chain: number;
  readonly binomial: number;
  readonly scatter: number;
  readonly twoTrees: number;
  readonly sequential: number;
}

/** Seconds until the last node has the last chunk, and hops to the farthest. A node's card sends one chunk at a time, to its successors in turn. */
function simulate(plan: BroadcastPlan, nodes: number, chunkSeconds: number, hopSeconds: number): { seconds: number; depth: number } {
  const chunks = plan.layout.count;
  let last = 0;
  let depth = 0;
  // Arrivals at nodes whose successors have not been looked at: a breadth of the tree, not the whole cluster.
  const queue = [{ node: 0, depth: 0, arrivals: new Float64Array(chunks) }];
  let reached = 1;
  for (let here = queue.shift(); here !== undefined; here = queue.shift()) {
    const { successors } = plan.node(here.node);
    const arrivals = successors.map(() => new Float64Array(chunks));
    let free = 0;
    for (let chunk = 0; chunk < chunks; chunk += 1) {
      for (const each of arrivals) {
        free = Math.max(free, here.arrivals[chunk] ?? 0) + chunkSeconds;
        each[chunk] = free + hopSeconds;
      }
    }
    for (const [at, node] of successors.entries()) {
      const each = arrivals[at] ?? new Float64Array(0);
      last = Math.max(last, each[chunks - 1] ?? 0);
      depth = Math.max(depth, here.depth + 1);
      queue.push({ node, depth: here.depth + 1, arrivals: each });
    }
    reached += successors.length;
  }
  if (reached !== nodes) throw new Error(`${reached} of ${nodes} nodes were reached`);
  return { seconds: last, depth };
}

function rowOf(roundTripMs: number, gib: number, gigabits: number, nodes: number): Row {
  const totalBytes = Math.round(gib * GIB);
  const rate = Math.min((gigabits * 1e9) / 8, laneRate);
  const hop: HopCost = { roundTripMs, handlingMs, bytesPerSecond: rate };
  const chunkBytes = chooseChunkBytes(totalBytes, nodes);
  const offer: BroadcastOffer = {
    id: { jobId: "scale", epoch: 0, sequence: 0 },
    segmentBytes: [totalBytes],
    chunkBytes,
    owners: [0],
    nodes: Array.from({ length: nodes }, (_, nodeRank) => ({ nodeRank, address: "" })),
    hop,
  };
  const plan = planBroadcast(offer);
  const chunkCount = plan.layout.count;
  const link = totalBytes / rate;
  const alpha = hopMs(hop) / 1000;
  const levels = Math.ceil(Math.log2(nodes));
  const { seconds, depth } = simulate(plan, nodes, chunkBytes / rate, alpha);
  return {
    ...{ roundTripMs, gib, gigabits, nodes, shape: plan.shape, depth, chunkMib: chunkBytes / 2 ** 20, simulated: seconds, link },
    chain: chainMs(nodes, { chunkCount, chunkBytes, hop }) / 1000,
    binomial: levels * (alpha + link),
    scatter: (levels + nodes - 1) * alpha + ((2 * (nodes - 1)) / nodes) * link,
    twoTrees: link + 2 * levels * (chunkBytes / rate + alpha),
    sequential: (nodes - 1) * (alpha + link),
  };
}

const rows = list(values["round-trip-ms"]).flatMap((roundTripMs) =>
  list(values.gib).flatMap((gib) =>
    list(values.gbit).flatMap((gigabits) => list(values.nodes).map((nodes) => rowOf(roundTripMs, gib, gigabits, nodes))),
  ),
);

const text = (seconds: number): string => (seconds < 100 ? `${seconds.toPrecision(3)} s` : `${(seconds / 60).toPrecision(3)} min`);
if (values.json) process.stdout.write(`${JSON.stringify({ bench: "scale", handlingMs, laneRate, rows }, undefined, 1)}\n`);
else {
  const formulas = ["chain", "binomial", "scatter+allgather", "two trees", "one by one"];
  const columns = ["round trip", "GiB", "Gbit/s", "nodes", "plan", "hops", "chunk MiB", "simulated", "one link", ...formulas];
  process.stdout.write(`| ${columns.join(" | ")} |\n|${columns.map(() => "---").join("|")}|\n`);
  for (const row of rows) {
    const times = [row.simulated, row.link, row.chain, row.binomial, row.scatter, row.twoTrees, row.sequential].map(text);
    const plan = [`${row.roundTripMs} ms`, row.gib, row.gigabits, row.nodes, row.shape, row.depth, row.chunkMib];
    process.stdout.write(`| ${[...plan, ...times].join(" | ")} |\n`);
  }
}
