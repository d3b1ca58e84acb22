/**
 * `npm run bench:nodes`: how fast a job of two nodes on this machine sees a rank that is killed, how long a barrier of 64 ranks takes, and what
 * strangers who flood the head's port do to it. Arguments: `--kills 200 --barriers 500 --processes 8 --pause-ms 0 --flood 2000 --out bench/results/nodes.json`.
 * A part that is given 0 is left out, and what the file has of it stays.
 */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { keepParts, provenance } from "./kept-parts.js";

const RANKCAST = fileURLToPath(new URL("../../packages/cli/bin/rankcast.js", import.meta.url));
const program = (name: string): string => fileURLToPath(new URL(`./${name}.js`, import.meta.url));
const RANKS_PER_NODE = 4;
const BARRIER_RANKS = 64;

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "200" },
    barriers: { type: "string", default: "500" },
    flood: { type: "string", default: "2000" },
    processes: { type: "string", default: "8" },
    "pause-ms": { type: "string", default: "0" },
    out: { type: "string" },
  },
});
const [kills, barriers, flood, processes] = [values.kills, values.barriers, values.flood, values.processes].map(Number) as [
  number,
  number,
  number,
  number,
];
const directory = mkdtempSync(join(tmpdir(), "rankcast-bench-"));
const results: Record<string, object> = {};
try {
  if (kills > 0) results["kills"] = { ...provenance(), ...(await measureKills()) };
  if (barriers > 0) results["barrier"] = { ...provenance(), ...(await measureBarrier(0)) };
  if (barriers > 0 && flood > 0) results["barrierUnderFlood"] = { ...provenance(), ...(await measureBarrier(flood)) };
} finally {
  rmSync(directory, { recursive: true, force: true });
}
process.stdout.write(`${JSON.stringify(results, null, 2)}\n`);
if (values.out !== undefined) keepParts(values.out, results);

/** kill -9 of one rank per epoch, another one each time; when every other rank of both nodes has the typed error. */
async function measureKills(): Promise<object> {
  const port = await freePort();
  const out = join(directory, "kills");
  writeFileSync(out, "");
  const launchers = [0, 1].map((nodeRank) => {
    const flags = ["--nnodes", "2", "--node-rank", String(nodeRank), "--rdzv-endpoint", `127.0.0.1:${port}`];
    const more = ["--nproc-per-node", String(RANKS_PER_NODE), "--max-restarts", String(kills), "--grace-seconds", "5"];
    return spawn(process.execPath, [RANKCAST, "run", ...flags, ...more, program("nodes-killed-rank"), out, String(kills)], {
      stdio: "ignore",
    });
  });
  const codes = await Promise.all(launchers.map(endOf));
  const lines = readFileSync(out, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as KillLine);
  const delaysMs: number[] = [];
  const wrong: string[] = [];
  for (let attempt = 0; attempt < kills; attempt += 1) {
    const ofAttempt = lines.filter((line) => line.attempt === attempt);
    const killed = ofAttempt.find((line) => line.killed);
    const seen = ofAttempt.filter((line) => !line.killed);
    if (!killed || seen.length !== 2 * RANKS_PER_NODE - 1)
      wrong.push(`attempt ${attempt}: ${seen.length} of ${2 * RANKS_PER_NODE - 1} saw it`);
    for (const line of seen) {
      if (line.root !== killed?.rank)
        wrong.push(`attempt ${attempt}: rank ${line.rank} blames ${line.root ?? line.code}, not ${killed?.rank}`);
      delaysMs.push(line.atMs - (killed?.atMs ?? 0));
    }
  }
  return { launchers: codes, kills, ranks: 2 * RANKS_PER_NODE, wrong, ...quantiles(delaysMs) };
}

interface KillLine {
  readonly attempt: number;
  readonly rank: number;
  readonly killed?: boolean;
  readonly atMs: number;
  readonly root?: number;
  readonly code?: string;
}

/** Barriers of 64 ranks on two nodes, in `processes`, in turn with those of bare sockets of the same shape; with strangers at the head's door when `strangers` is not 0. */
async function measureBarrier(strangers: number): Promise<object> {
  const port = await freePort();
  const env = { ...process.env, RANKCAST_RDZV_ENDPOINT: `127.0.0.1:${port}` };
  const sockets = mkdtempSync(join(directory, "sockets-"));
  const children = Array.from({ length: processes }, (_, index) =>
    fork(program("nodes-barrier-rank"), [...[index, processes, BARRIER_RANKS, barriers].map(String), sockets, values["pause-ms"]], { env }),
  );
  const answers = children.map(answerOf);
  let strangersSockets: Socket[] = [];
  if (strangers > 0) {
    await Promise.all(children.map((child) => once(child, "message")));
    strangersSockets = floodPort(port, strangers);
  }
  const answered = await Promise.all(answers);
  await Promise.all(children.map(endOf));
  for (const socket of strangersSockets) socket.destroy();
  const bareSockets = quantiles(answered.flatMap(({ bareTimes }) => bareTimes));
  return {
    ranks: BARRIER_RANKS,
    processes,
    pauseMs: Number(values["pause-ms"]),
    barriers,
    strangers,
    ...quantiles(answered.flatMap(({ times }) => times)),
    afterFirst200: quantiles(answered.flatMap(({ times }) => times.slice(200))),
    bareSockets,
  };
}

/** Connections that say the first bytes of a handshake and nothing more; a new one for each that is closed. */
function floodPort(port: number, count: number): Socket[] {
  const sockets: Socket[] = [];
  const open = (): void => {
    const socket = connect(port, "127.0.0.1", () => socket.write("RKL1"));
    socket.on("error", () => undefined);
    sockets.push(socket);
  };
  for (let each = 0; each < count; each += 1) open();
  return sockets;
}

interface BarrierAnswer {
  readonly times: readonly number[];
  readonly bareTimes: readonly number[];
}

function answerOf(child: ChildProcess): Promise<BarrierAnswer> {
  return new Promise((resolve, reject) => {
    child.on("message", (message: Partial<BarrierAnswer>) => {
      const { times, bareTimes } = message;
      if (times && bareTimes) resolve({ times, bareTimes });
    });
    child.once("exit", (code) => reject(new Error(`a rank ended with ${code}`)));
  });
}

function endOf(child: ChildProcess): Promise<number | null> {
  return child.exitCode !== null ? Promise.resolve(child.exitCode) : new Promise((resolve) => child.once("exit", (code) => resolve(code)));
}

function quantiles(all: readonly number[]): { medianMs: number; p99Ms: number; worstMs: number } {
  const sorted = [...all].sort((a, b) => a - b);
  const at = (quantile: number): number => sorted[Math.min(sorted.length - 1, Math.floor(quantile * sorted.length))] ?? Number.NaN;
  return { medianMs: at(0.5), p99Ms: at(0.99), worstMs: at(1) };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (typeof address === "object" && address !== null ? resolve(address.port) : reject(new Error("no port"))));
    });
  });
}
