/**
 * Broadcast between nodes against a raw TCP copy, and over links of a known rate. Prints JSON.
 *
 *     node bench/dist/broadcast.js [--mib 512] [--nodes 2] [--runs 5] [--namespaces rkb] [--chunk-mib 4] [--connections 1,4] [--no-mmap] [--lane tcp|grpc] [--freeze 3] [--out file --part name]
 *
 * `--out` puts the result into a file under the name of `--part`, beside what the file has.
 * `--connections` lists connections per link; those listed take turns in every run. Without it: what is planned. On one machine a first turn of each,
 * and of the raw copies, is told apart (`firstSeconds`): it is made by code that is not compiled yet.
 *
 * With `--namespaces P` node i runs in the network namespace P<i> at 10.78.0.<i + 1> (see scripts/namespaces.sh). `--freeze R` stops node R one second into the last
 * run and tells how long the others took and how much memory the node before it held more than at the start. Everywhere else all nodes share
 * loopback, and the raw copies are measured in turn with the broadcasts.
 */
import { parseArgs } from "node:util";
import { type BroadcastOffer, chooseChunkBytes, chooseConnections, DEFAULT_HOP } from "@rankcast/core/internal";
import { type BenchNode, startBenchNode } from "./broadcast-cluster.js";
import { keepParts, provenance } from "./kept-parts.js";

const MIB = 2 ** 20;
const { values } = parseArgs({
  options: {
    mib: { type: "string", default: "512" },
    nodes: { type: "string", default: "2" },
    runs: { type: "string", default: "5" },
    namespaces: { type: "string" },
    "chunk-mib": { type: "string" },
    connections: { type: "string" },
    "no-mmap": { type: "boolean", default: false },
    lane: { type: "string", default: "tcp" },
    freeze: { type: "string" },
    out: { type: "string" },
    part: { type: "string", default: "broadcast" },
  },
});
const measured = provenance();
const nbytes = Number(values.mib) * MIB;
const count = Number(values.nodes);
const oneMachine = values.namespaces === undefined;
const planned = chooseConnections({ totalBytes: nbytes, nodeCount: count, oneMachine, hop: DEFAULT_HOP });
const variants = values.connections === undefined ? [planned] : values.connections.split(",").map(Number);
const chunkBytesOf = (connections: number): number =>
  values["chunk-mib"] === undefined ? chooseChunkBytes(nbytes, count, connections) : Number(values["chunk-mib"]) * MIB;
const hostOf = (rank: number): string => (values.namespaces === undefined ? "127.0.0.1" : `10.78.0.${rank + 1}`);

const nodes = Array.from({ length: count }, (_, rank) =>
  startBenchNode(values.namespaces === undefined ? null : `${values.namespaces}${rank}`),
);
const [owner, first] = nodes as [BenchNode, BenchNode];
const receivers = nodes.slice(1);
const frozen = values.freeze === undefined ? undefined : Number(values.freeze);
const receiverCpuMs: number[] = [];
const rawCopyCpuMs: number[] = [];
let sourceRssMib: number[] = [];
const seconds: { [name: string]: number[] } = {};
const firstSeconds: { [name: string]: number } = {};

/** Keeps one time; the first on one machine apart. */
function keep(name: string, measuredMs: number, isFirst: boolean): void {
  if (isFirst) firstSeconds[name] = measuredMs / 1000;
  else seconds[name] = [...(seconds[name] ?? []), measuredMs / 1000];
}

try {
  const lane = values.lane === "grpc" ? "grpc" : "tcp";
  const started = await Promise.all(
    nodes.map((node, nodeRank) =>
      node.order({ type: "start", nodeRank, listen: `${hostOf(nodeRank)}:0`, noMmap: values["no-mmap"], lane }),
    ),
  );
  await owner.order({ type: "make", nbytes });
  const raw = String((await owner.order({ type: "raw-serve", host: hostOf(0), nbytes })).value);
  const warmUp = frozen === undefined && oneMachine ? 1 : 0;
  const last = (Number(values.runs) + warmUp) * variants.length - 1;
  for (let sequence = 0; sequence <= last; sequence += 1) {
    const connections = variants[sequence % variants.length] ?? planned;
    const offer: BroadcastOffer = {
      id: { jobId: "bench", epoch: 0, sequence },
      segmentBytes: [nbytes],
      chunkBytes: chunkBytesOf(connections),
      connections,
      owners: [0],
      nodes: started.map(({ value }, nodeRank) => ({ nodeRank, address: String(value) })),
    };
    const begin = performance.now();
    await owner.order({ type: "offer", offer });
    const isFrozen = frozen !== undefined && sequence === last;
    const counted = isFrozen ? receivers.filter((node) => node !== nodes[frozen]) : receivers;
    const received = receivers.map((node) => ({ node, done: node.order({ type: "receive", offer }) }));
    for (const { done } of received) done.catch(() => undefined);
    let memory: Promise<number>[] = [];
    if (isFrozen) {
      setTimeout(() => nodes[frozen]?.freeze(), 1000);
      const source = nodes[frozen - 1] ?? owner;
      memory = [500, 2500, 4000].map(async (afterMs) => {
        await new Promise((resolve) => setTimeout(resolve, afterMs));
        return Number((await source.order({ type: "memory" })).value);
      });
    }
    const replies = await Promise.all(received.filter(({ node }) => counted.includes(node)).map(({ done }) => done));
    const name = isFrozen ? "withFrozenNode" : variants.length === 1 ? "broadcast" : `broadcast over ${connections}`;
    const isFirst = sequence < warmUp * variants.length;
    keep(name, performance.now() - begin, isFirst);
    if (!isFirst) receiverCpuMs.push(...replies.map(({ value }) => Math.round(Number(value))));
    if (isFrozen) {
      sourceRssMib = (await Promise.all(memory)).map((each) => Math.round(each / MIB));
      break;
    }
    await Promise.all(nodes.map((node) => node.order({ type: "end", offer })));
    if (sequence % variants.length < variants.length - 1) continue;
    for (const [peer, keeps] of [["rawCopy", true] as const, ["rawDiscard", false] as const]) {
      const { ms, value } = await first.order({ type: "raw-receive", address: raw, nbytes, keep: keeps });
      keep(peer, ms, isFirst);
      if (keeps && !isFirst) rawCopyCpuMs.push(Math.round(Number(value)));
    }
  }
} finally {
  for (const node of nodes) node.stop();
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
const round = (value: number): number => Number(value.toPrecision(3));
const medians = Object.fromEntries(Object.entries(seconds).map(([name, each]) => [name, median(each)]));
const result = {
  bench: "broadcast",
  ...measured,
  node: process.version,
  nodes: count,
  mib: nbytes / MIB,
  chunkMib: variants.map((connections) => chunkBytesOf(connections) / MIB),
  connections: variants,
  lane: values.lane,
  firstSeconds: Object.fromEntries(Object.entries(firstSeconds).map(([name, each]) => [name, round(each)])),
  seconds: Object.fromEntries(Object.entries(seconds).map(([name, each]) => [name, each.map(round)])),
  gigabytesPerSecond: Object.fromEntries(Object.entries(medians).map(([name, each]) => [name, round(nbytes / each / 1e9)])),
  receiverCpuMs,
  rawCopyCpuMs,
  ...(frozen === undefined ? {} : { sourceRssMib }),
  ofRawCopy: round((medians["rawCopy"] ?? 0) / (medians["broadcast"] ?? medians[`broadcast over ${variants[0]}`] ?? 1)),
};
process.stdout.write(`${JSON.stringify(result, undefined, 1)}\n`);
if (values.out !== undefined) keepParts(values.out, { [values.part]: result });
