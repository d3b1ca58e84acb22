/**
 * A Slurm cluster of several nodes on this machine: munged, slurmctld and one slurmd per node, all started here, on loopback, without
 * cgroups, systemd or a database. Debian's slurmd is built for several daemons per host (`slurmd -N`).
 */
import { execFileSync, type SpawnSyncReturns, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";

/** Programs the cluster needs, and the Debian packages that bring them. */
export const SLURM_PROGRAMS = ["munged", "slurmctld", "slurmd", "srun", "scontrol"] as const;

/** A cluster that is up. */
export interface SlurmCluster {
  /** A folder of the cluster's own, for what a test writes. */
  readonly directory: string;
  /** Runs `srun` to its end. */
  srun(args: readonly string[], env?: Readonly<Record<string, string>>): SpawnSyncReturns<string>;
  /** Starts `srun`; the caller awaits its `close`. */
  start(args: readonly string[], env?: Readonly<Record<string, string>>): ReturnType<typeof spawn>;
  /** Ends every daemon by its pid. */
  close(): Promise<void>;
}

const UP_MS = 60_000;
const POLL_MS = 200;
const SRUN_MS = 120_000;

/**
 * Starts `nodeCount` nodes of four CPUs each; resolves when all are idle.
 * @throws {Error} when a daemon does not come up, with the controller's log.
 */
export async function startSlurm(nodeCount: number): Promise<SlurmCluster> {
  const directory = mkdtempSync("/tmp/rcs-");
  const environment = { ...process.env, SLURM_CONF: join(directory, "slurm.conf") };
  const pidFiles = ["munge.pid", "slurmctld.pid", ...Array.from({ length: nodeCount }, (_, node) => `slurmd.n${node}.pid`)];
  const close = async (): Promise<void> => {
    const pids = pidFiles.flatMap((file) => pidOf(join(directory, file)));
    for (const pid of pids.reverse()) signal(pid, "SIGTERM");
    for (let waitedMs = 0; waitedMs < 5000 && pids.some(isAlive); waitedMs += POLL_MS) await setTimeout(POLL_MS);
    for (const pid of pids) signal(pid, "SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await configure(directory, nodeCount);
    startMunge(directory);
    execFileSync("slurmctld", ["-f", environment.SLURM_CONF], { env: environment, stdio: "ignore" });
    for (let node = 0; node < nodeCount; node += 1) execFileSync("slurmd", ["-N", `n${node}`], { env: environment, stdio: "ignore" });
    await waitUntilIdle(directory, environment, nodeCount);
  } catch (error) {
    const log = attempt(() => readFileSync(join(directory, "ctld.log"), "utf8").slice(-4000));
    await close();
    throw new Error(`the Slurm cluster did not start: ${String(error)}\n${log ?? ""}`, { cause: error });
  }
  return {
    directory,
    srun: (args, env = {}) =>
      spawnSync("srun", [...args], {
        env: { ...environment, ...env },
        cwd: directory,
        encoding: "utf8",
        timeout: SRUN_MS,
        maxBuffer: 2 ** 26,
      }),
    start: (args, env = {}) =>
      spawn("srun", [...args], { env: { ...environment, ...env }, cwd: directory, stdio: ["ignore", "pipe", "pipe"] }),
    close,
  };
}

async function configure(directory: string, nodeCount: number): Promise<void> {
  const name = hostname().split(".")[0] ?? "localhost";
  const [controlPort = 0, ...nodePorts] = await freePorts(nodeCount + 1);
  mkdirSync(join(directory, "state"));
  const nodes = nodePorts.map((port, node) => {
    mkdirSync(join(directory, `spool.n${node}`));
    return `NodeName=n${node} NodeHostName=${name} NodeAddr=127.0.0.1 Port=${port} CPUs=4 RealMemory=1000 State=UNKNOWN`;
  });
  const lines = [
    "ClusterName=emu",
    `SlurmctldHost=${name}(127.0.0.1)`,
    `SlurmctldPort=${controlPort}`,
    "SlurmUser=root",
    "SlurmdUser=root",
    "AuthType=auth/munge",
    `AuthInfo=socket=${directory}/munge.sock`,
    "CredType=cred/munge",
    `StateSaveLocation=${directory}/state`,
    `SlurmdSpoolDir=${directory}/spool.%n`,
    `SlurmctldPidFile=${directory}/slurmctld.pid`,
    `SlurmdPidFile=${directory}/slurmd.%n.pid`,
    `SlurmctldLogFile=${directory}/ctld.log`,
    `SlurmdLogFile=${directory}/slurmd.%n.log`,
    "ProctrackType=proctrack/pgid",
    "TaskPlugin=task/none",
    "SwitchType=switch/none",
    "MpiDefault=none",
    "ReturnToService=2",
    "SchedulerType=sched/builtin",
    "SelectType=select/cons_tres",
    "SelectTypeParameters=CR_Core",
    // Four CPUs per node, whatever this machine has.
    "SlurmdParameters=config_overrides",
    "JobAcctGatherType=jobacct_gather/none",
    "KillWait=5",
    "SlurmdTimeout=30",
    ...nodes,
    "PartitionName=p Nodes=ALL Default=YES MaxTime=INFINITE State=UP",
  ];
  writeFileSync(join(directory, "slurm.conf"), `${lines.join("\n")}\n`);
}

function startMunge(directory: string): void {
  const key = join(directory, "munge.key");
  writeFileSync(key, randomBytes(1024), { mode: 0o400 });
  chmodSync(directory, 0o755);
  const option = (name: string, file: string) => `--${name}=${join(directory, file)}`;
  const files = [
    option("socket", "munge.sock"),
    option("pid-file", "munge.pid"),
    option("log-file", "munge.log"),
    option("seed-file", "munge.seed"),
  ];
  execFileSync("munged", [`--key-file=${key}`, ...files, "--force"], { stdio: "ignore" });
}

async function waitUntilIdle(directory: string, env: NodeJS.ProcessEnv, nodeCount: number): Promise<void> {
  let last = "";
  for (let waitedMs = 0; waitedMs < UP_MS; waitedMs += POLL_MS) {
    last = spawnSync("scontrol", ["show", "nodes", "--oneliner"], { env, encoding: "utf8", cwd: directory }).stdout;
    if ((last.match(/State=IDLE\s/g) ?? []).length === nodeCount) return;
    await setTimeout(POLL_MS);
  }
  throw new Error(`nodes are not idle after ${UP_MS} ms: ${last}`);
}

/** Ports that were free a moment ago. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer();
      return new Promise<typeof server>((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

function pidOf(path: string): number[] {
  const pid = Number(attempt(() => readFileSync(path, "utf8").trim()) ?? "");
  return Number.isSafeInteger(pid) && pid > 1 ? [pid] : [];
}

function isAlive(pid: number): boolean {
  return attempt(() => process.kill(pid, 0)) === true;
}

function signal(pid: number, name: NodeJS.Signals): void {
  attempt(() => process.kill(pid, name));
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
