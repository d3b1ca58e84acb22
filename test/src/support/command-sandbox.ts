/**
 * Runs the built command line (or a script) as a user would: a process of its own with a clean environment, its own home, cache and
 * temporary directory, and a mark by which everything it leaves behind can be found.
 */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { type Dirent, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { commandLine, processesBelow, processesMarked } from "./process-table.js";
import { REPOSITORY } from "./source-files.js";

/** The command that `npm install rankcast` would put on the path. */
export const RANKCAST = join(REPOSITORY, "packages", "cli", "bin", "rankcast.js");

/** How a process ended and what it wrote. */
export interface CommandResult {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** How to run a command. */
export interface CommandOptions {
  /** On top of the clean environment; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The process is killed after this time and the test fails. Default 60 000: a hang must not take the suite down. */
  readonly timeoutMs?: number;
  /** Working directory. Default: the sandbox. */
  readonly cwd?: string;
}

/** A command that is running. */
export interface RunningCommand {
  readonly pid: number;
  /** Resolves once stderr holds `text`; rejects when the process ends without it. */
  waitForStderr(text: string): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  /** What it has written so far. */
  stderr(): string;
  readonly ended: Promise<CommandResult>;
}

const MARK = "RANKCAST_TEST_MARK";
const TIMEOUT_MS = 60_000;
const LEFTOVER_MS = 2000;
const LEFTOVER_POLL_MS = 20;
const SHARED_MEMORY = "/dev/shm";

/** See the module comment. */
export class CommandSandbox {
  /** Below `/tmp` and short: a unix socket's path has at most 107 bytes. */
  readonly directory = mkdtempSync("/tmp/rc-");
  readonly cacheHome = join(this.directory, "cache");
  readonly temporary = join(this.directory, "tmp");
  readonly #mark = randomUUID();
  readonly #sharedBefore = new Set(sharedMemoryNames());

  constructor() {
    mkdirSync(this.temporary);
  }

  /** Runs `rankcast` to its end. */
  run(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return this.start([RANKCAST, ...args], options).ended;
  }

  /** Starts `node` with these arguments. */
  start(args: readonly string[], { env = {}, timeoutMs = TIMEOUT_MS, cwd = this.directory }: CommandOptions = {}): RunningCommand {
    const clean = {
      PATH: process.env["PATH"],
      HOME: this.directory,
      TMPDIR: this.temporary,
      RANKCAST_HOME: this.cacheHome,
      [MARK]: this.#mark,
      ...env,
    };
    const child = spawn(process.execPath, [...args], { env: clean, cwd, stdio: ["ignore", "pipe", "pipe"] });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => void out.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => void err.push(chunk));
    const text = (chunks: readonly Buffer[]): string => Buffer.concat(chunks).toString("utf8");
    const ended = new Promise<CommandResult>((resolve, reject) => {
      const timer = globalThis.setTimeout(() => {
        for (const pid of this.processes()) process.kill(pid, "SIGKILL");
        reject(new Error(`no end within ${timeoutMs} ms: node ${args.join(" ")}\nstdout: ${text(out)}\nstderr: ${text(err)}`));
      }, timeoutMs);
      child.once("error", reject);
      child.once("close", (exitCode, signal) => {
        clearTimeout(timer);
        resolve({ exitCode, signal, stdout: text(out), stderr: text(err) });
      });
    });
    const waitForStderr = async (expected: string): Promise<void> => {
      while (!text(err).includes(expected)) {
        const over = await Promise.race([once(child.stderr, "data").then(() => false), ended.then(() => true)]);
        if (over && !text(err).includes(expected)) throw new Error(`ended without ${JSON.stringify(expected)} on stderr: ${text(err)}`);
      }
    };
    return { pid: child.pid ?? -1, waitForStderr, kill: (signal) => void child.kill(signal), stderr: () => text(err), ended };
  }

  /** Writes a file below the sandbox; returns its absolute path. */
  write(name: string, content: string | Uint8Array): string {
    const path = join(this.directory, name);
    writeFileSync(path, content);
    return path;
  }

  /** Paths of all files in the cache, relative to it, sorted. */
  cacheFiles(): string[] {
    return filesBelow(this.cacheHome);
  }

  /** Paths of all files below a folder of the sandbox, relative to it, sorted. */
  filesBelow(folder: string): string[] {
    return filesBelow(join(this.directory, folder));
  }

  /** Text of a file below the sandbox. */
  read(name: string): string {
    return readFileSync(join(this.directory, name), "utf8");
  }

  /** Living processes that started in this sandbox. */
  processes(): number[] {
    return processesMarked(MARK, this.#mark);
  }

  /**
   * What commands have left behind, in any place they can reach: processes (also those that have another environment), temporary files and folders,
   * dot files in the home, locks and half-written files in the cache, sockets, shared memory. Whoever watches over a command's end outlives it by moments; what is
   * still there after two seconds has been left. `partials`: downloads that were interrupted may stay, for they are resumed.
   */
  async leftovers({ partials = false }: { readonly partials?: boolean } = {}): Promise<string[]> {
    const deadlineMs = performance.now() + LEFTOVER_MS;
    for (;;) {
      const left = this.#leftNow(partials);
      if (left.length === 0 || performance.now() > deadlineMs) return left;
      await setTimeout(LEFTOVER_POLL_MS);
    }
  }

  #leftNow(partials: boolean): string[] {
    const marked = this.processes();
    const shared = sharedMemoryNames().filter((name) => !this.#sharedBefore.has(name));
    // The user's own directory, where jobs meet, stays: others may be watching it.
    const meeting = `rankcast-${process.getuid?.() ?? "user"}`;
    return [
      ...marked.map((pid) => `process ${pid}: ${commandLine(pid)}`),
      ...(marked.length > 0
        ? []
        : processesBelow(this.directory).map((pid) => `process ${pid} of another environment: ${commandLine(pid)}`)),
      ...entriesBelow(this.temporary).flatMap((path) => (path === meeting ? [] : [`temporary file ${path}`])),
      // Caches of other programs, which `hf://` shares, are for good; what is under way in them is not.
      ...readdirSync(this.directory).flatMap((name) => (/^\.(?!cache$)|^core(\.|$)/.test(name) ? [`file in the home: ${name}`] : [])),
      ...filesBelow(join(this.directory, ".cache")).flatMap((path) =>
        /\.(part|lock|incomplete)$|\.tmp/.test(path) ? [`unfinished in the home's cache: ${path}`] : [],
      ),
      ...entriesBelow(this.cacheHome).flatMap((path) => (isUnfinished(path, partials) ? [`unfinished in the cache: ${path}`] : [])),
      ...boundSockets(this.directory).map((path) => `socket ${path}`),
      ...shared.map((name) => `shared memory ${name}`),
    ];
  }

  /** Ends what is still running and removes the directory. */
  close(): void {
    for (const pid of this.processes()) process.kill(pid, "SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Registers hooks in the surrounding `describe`; the returned function gives the current test's sandbox. */
export function commandSandbox(): () => CommandSandbox {
  let sandbox: CommandSandbox;
  beforeEach(() => {
    sandbox = new CommandSandbox();
  });
  afterEach(() => sandbox.close());
  return () => sandbox;
}

function sharedMemoryNames(): string[] {
  return existsSync(SHARED_MEMORY) ? readdirSync(SHARED_MEMORY).filter((name) => name.startsWith("rankcast")) : [];
}

/** What is complete stays, and the secret that locks of this cache are named by; everything else in a cache is work in progress. */
function isUnfinished(path: string, partials: boolean): boolean {
  const [folder = "", name, file] = path.split("/");
  if (name === undefined) return !["objects", "urls", "partial", "verified", "locks", "lock-secret"].includes(folder);
  if (folder === "partial") return !partials;
  if (folder === "objects" && file !== undefined) return false;
  return !/^[0-9a-f]{64}(\.checksums)?(\.json)?$/.test(name);
}

/** Unix sockets that are bound below a folder, also when their files are gone already. */
function boundSockets(directory: string): string[] {
  const lines = existsSync("/proc/net/unix") ? readFileSync("/proc/net/unix", "utf8").split("\n") : [];
  return lines.flatMap(
    (line) =>
      line
        .slice(Math.max(0, line.indexOf(` ${directory}/`)))
        .match(/^ \/.*/)
        ?.map((path) => path.trim()) ?? [],
  );
}

function filesBelow(directory: string): string[] {
  return below(directory, (entry) => !entry.isDirectory());
}

/** Files and folders. */
function entriesBelow(directory: string): string[] {
  return below(directory, () => true);
}

function below(directory: string, isMeant: (entry: Dirent) => boolean): string[] {
  for (;;) {
    if (!existsSync(directory)) return [];
    try {
      return readdirSync(directory, { recursive: true, withFileTypes: true })
        .filter(isMeant)
        .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
        .sort();
    } catch (error) {
      // A folder went away while it was listed: somebody is still cleaning up.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
}
