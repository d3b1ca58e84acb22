/**
 * Downloads over loopback against curl, with Debian's nginx as the origin: `node bench/dist/download.js [MiB] [runs]`. Prints JSON.
 *
 * Two servers: one as fast as it can, one that gives each connection 50 MB/s. Ours verifies (SHA-256) and syncs what it stores; curl does neither, so a
 * second row has curl with the same work after it (`sync` and `sha256sum`). Peers alternate, everything is written back before each run begins, and
 * medians are compared. `cpu` is processor time of our process per download, beside what curl takes.
 */
import { execFileSync, spawn } from "node:child_process";
import { createHash, randomFillSync } from "node:crypto";
import { chmodSync, closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fetchToCache, readEnvironment } from "@rankcast/core/internal";

const mebibytes = Number(process.argv[2] ?? 512);
const runs = Number(process.argv[3] ?? 5);
const FAST_PORT = 18_610;
const LIMITED_PORT = 18_611;

interface Row {
  readonly server: string;
  readonly oursMs: number;
  readonly curlMs: number;
  readonly curlVerifiedMs: number;
  readonly oursToCurl: number;
  readonly oursToCurlVerified: number;
  readonly oursCpuMs: number;
  readonly curlCpuMs: number;
  readonly requests: number;
}

const directory = mkdtempSync(join(tmpdir(), "rankcast-bench-download-"));
// Started as root, nginx reads as nobody.
chmodSync(directory, 0o755);
const nginx = startNginx();
try {
  const sha256 = writeOrigin(join(directory, "model.bin"));
  await Promise.all([FAST_PORT, LIMITED_PORT].map(listening));
  const rows = [
    await compare("unlimited", FAST_PORT, runs, sha256),
    await compare("50 MB/s per connection", LIMITED_PORT, Math.min(runs, 2), sha256),
  ];
  process.stdout.write(`${JSON.stringify({ mebibytes, runs, rows }, null, 2)}\n`);
} finally {
  nginx.kill("SIGQUIT");
  rmSync(directory, { recursive: true, force: true });
}

async function compare(server: string, port: number, count: number, sha256: string): Promise<Row> {
  const url = `http://127.0.0.1:${port}/model.bin`;
  const ours: number[] = [];
  const curl: number[] = [];
  const verified: number[] = [];
  const oursCpu: number[] = [];
  const curlCpu: number[] = [];
  let requests = 0;
  for (let run = 0; run < count; run += 1) {
    const cacheDir = join(directory, "cache");
    execFileSync("sync");
    const cpu = process.cpuUsage();
    ours.push(
      await timed(async () => {
        const fetched = await fetchToCache(url, { cacheDir, environment: readEnvironment({}) });
        if (fetched.sha256 !== sha256) throw new Error("the download is not the file");
        requests = fetched.origin.requests;
      }),
    );
    oursCpu.push(milliseconds(process.cpuUsage(cpu)));
    rmSync(cacheDir, { recursive: true, force: true });
    const copy = join(directory, "copy.bin");
    execFileSync("sync");
    let curlUsage = 0;
    const plain = await timed(async () => {
      const times = execFileSync("sh", ["-c", 'curl -sf -o "$0" "$1" && times', copy, url], { encoding: "utf8" });
      curlUsage = childMilliseconds(times);
    });
    curlCpu.push(curlUsage);
    const proof = await timed(async () => {
      execFileSync("sync", [copy]);
      execFileSync("sha256sum", [copy]);
    });
    rmSync(copy);
    curl.push(plain);
    verified.push(plain + proof);
  }
  const [oursMs, curlMs, curlVerifiedMs] = [median(ours), median(curl), median(verified)];
  return {
    server,
    oursMs,
    curlMs,
    curlVerifiedMs,
    oursToCurl: ratio(oursMs, curlMs),
    oursToCurlVerified: ratio(oursMs, curlVerifiedMs),
    oursCpuMs: median(oursCpu),
    curlCpuMs: median(curlCpu),
    requests,
  };
}

async function timed(action: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await action();
  return performance.now() - begun;
}

function milliseconds({ user, system }: NodeJS.CpuUsage): number {
  return (user + system) / 1000;
}

/** The second line of the shell's `times`: user and system time of its children, as `0m0.123s`. */
function childMilliseconds(times: string): number {
  const parts = [...(times.split("\n")[1] ?? "").matchAll(/(\d+)m([\d.]+)s/g)];
  return parts.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60_000 + Number(seconds) * 1000, 0);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  return Math.round(sorted[Math.floor(sorted.length / 2)] ?? Number.NaN);
}

function ratio(one: number, other: number): number {
  return Math.round((one / other) * 100) / 100;
}

/** Random bytes: a file system or a link that compresses must not help anybody. */
function writeOrigin(path: string): string {
  const file = openSync(path, "w");
  const hash = createHash("sha256");
  const block = Buffer.alloc(2 ** 20);
  for (let index = 0; index < mebibytes; index += 1) {
    randomFillSync(block);
    writeSync(file, block);
    hash.update(block);
  }
  closeSync(file);
  return hash.digest("hex");
}

function startNginx() {
  const configuration = join(directory, "nginx.conf");
  const server = (port: number, limit: string): string => `server { listen 127.0.0.1:${port}; root ${directory}; ${limit} }`;
  writeFileSync(
    configuration,
    `daemon off; worker_processes 2; pid ${directory}/nginx.pid; error_log ${directory}/error.log;
     events { worker_connections 256; }
     http { access_log off; sendfile on; client_body_temp_path ${directory}/t1; proxy_temp_path ${directory}/t2; fastcgi_temp_path ${directory}/t3;
       uwsgi_temp_path ${directory}/t4; scgi_temp_path ${directory}/t5;
       ${server(FAST_PORT, "")} ${server(LIMITED_PORT, "limit_rate 50m;")} }`,
  );
  const child = spawn("nginx", ["-c", configuration, "-e", join(directory, "error.log")], { stdio: ["ignore", "inherit", "inherit"] });
  child.on("error", () => {
    process.stderr.write("nginx is missing: apt-get install nginx-light\n");
    process.exit(1);
  });
  return child;
}

async function listening(port: number): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
      socket.on("connect", () => socket.destroy());
    });
    if (open) return;
    await sleep(50);
  }
  throw new Error(`nginx does not listen on ${port}`);
}
