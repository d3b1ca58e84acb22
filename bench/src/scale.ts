/**
 * How long a broadcast takes on clusters nobody has at hand: the real plan, chunk by chunk through every node's network card, with what a hop
 * was measured to cost. Beside it the textbook formulas. Prints a table, or JSON with `--json`.
 *
 *     node bench/dist/scale.js [--hop-ms 7] [--lane-gbs 0.57] [--json]
 *
 * `--hop-ms`: what a chunk costs beyond its time on the wire, per hop (checksum, write, two threads). `--lane-gbs`: the most that one node's lane
 * carries. Both defaults are from `broadcast.js` on two shared cores: eight nodes and
 * two with one chunk of 1 MiB (50 and 7 ms), and two with 512 MiB; a card that is faster than the lane is not used up.
 */
import { parseArgs } from "node:util";
import { type BroadcastOffer, type BroadcastPlan, chooseChunkBytes, planBroadcast } from "@rankcast/core/internal";

const GIB = 2 ** 30;
const { values } = parseArgs({
  options: {
    "hop-ms": { type: "string", default: "7" },
    "lane-gbs": { type: "string", default: "0.57" },
    json: { type: "boolean", default: false },
  },
});
const hopSeconds = Number(values["hop-ms"]) / 1000;
const laneRate = Number(values["lane-gbs"]) * 1e9;

interface Row {
  readonly gib: number;
  readonly gigabits: number;
  readonly nodes: number;
  readonly shape: string;
  readonly chunkMib: number;
  readonly simulated: number;
  readonly link: number;
  readonly chain: number;
  readonly binomial: number;
  readonly sequential: number;
}

/** Seconds until the last node has the last chunk. A node's card sends one chunk at a time, to its successors in turn. */
function simulate(plan: BroadcastPlan, nodes: number, chunkSeconds: number): number {
  const chunks = plan.layout.count;
  let last = 0;
  // Arrivals at nodes whose successors have not been looked at: a breadth of the tree, not the whole cluster.
  const queue: { readonly node: number; readonly arrivals: Float64Array }[] = [{ node: 0, arrivals: new Float64Array(chunks) }];
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
    successors.forEach((node, at) => {
      const each = arrivals[at] ?? new Float64Array(0);
      last = Math.max(last, each[chunks - 1] ?? 0);
      queue.push({ node, arrivals: each });
    });
    reached += successors.length;
  }
  if (reached !== nodes) throw new Error(`${reached} of ${nodes} nodes were reached`);
  return last;
}

function rowOf(gib: number, gigabits: number, nodes: number): Row {
  const totalBytes = gib * GIB;
  const rate = Math.min((gigabits * 1e9) / 8, laneRate);
  const chunkBytes = chooseChunkBytes(totalBytes, nodes);
  const offer: BroadcastOffer = {
    id: { jobId: "scale", epoch: 0, sequence: 0 },
    segmentBytes: [totalBytes],
    chunkBytes,
    owners: [0],
    nodes: Array.from({ length: nodes }, (_, nodeRank) => ({ nodeRank, address: "" })),
  };
  const plan = planBroadcast(offer);
  const chunks = plan.layout.count;
  const link = totalBytes / rate;
  return {
    gib,
    gigabits,
    nodes,
    shape: plan.shape,
    chunkMib: chunkBytes / 2 ** 20,
    simulated: simulate(plan, nodes, chunkBytes / rate),
    link,
    chain: (nodes - 2 + chunks) * (link / chunks) + (nodes - 1) * hopSeconds,
    binomial: Math.ceil(Math.log2(nodes)) * (hopSeconds + link),
    sequential: (nodes - 1) * (hopSeconds + link),
  };
}

const rows: Row[] = [];
for (const gib of [1 / 16, 1, 100]) {
  for (const gigabits of [1, 10, 100]) {
    for (const nodes of [2, 4, 8, 16, 64, 256, 1024]) rows.push(rowOf(gib, gigabits, nodes));
  }
}

const text = (seconds: number): string => (seconds < 100 ? `${seconds.toPrecision(3)} s` : `${(seconds / 60).toPrecision(3)} min`);
if (values.json) process.stdout.write(`${JSON.stringify({ bench: "scale", hopSeconds, laneRate, rows }, undefined, 1)}\n`);
else {
  const columns = ["GiB", "Gbit/s", "nodes", "shape", "chunk MiB", "simulated", "one link", "chain formula", "binomial tree", "one by one"];
  process.stdout.write(`| ${columns.join(" | ")} |\n|${columns.map(() => "---").join("|")}|\n`);
  for (const row of rows) {
    const times = [row.simulated, row.link, row.chain, row.binomial, row.sequential].map(text);
    process.stdout.write(`| ${[row.gib, row.gigabits, row.nodes, row.shape, row.chunkMib, ...times].join(" | ")} |\n`);
  }
}
