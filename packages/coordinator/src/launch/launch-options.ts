/** Options of a launch: what callers may say, and the checked form the launcher works with. */
import { existsSync, statSync } from "node:fs";
import { constants } from "node:os";
import { resolve } from "node:path";
import type { Writable } from "node:stream";
import { compileLimits, type HostFacts, quote, UsageError } from "@rankcast/core/launcher";
import type { ProcessVariables } from "@rankcast/core/runtime";
import type { LaunchEvent } from "./launch-event.ts";
import { RUN_FLAGS, type RunFlag, type RunFlagOption } from "./run-flags.ts";
import { parseStreamSelection, type StreamSelection } from "./stream-selection.ts";

/** Values of flags, as typed or as text; what is left out comes from PET_* variables, then from torchrun's defaults. */
export type RunFlagValues = { readonly [option in RunFlagOption]?: string | number | boolean | undefined };

/** What `beforeSpawn` is told. */
export interface SpawnAttempt {
  /** 0, then one more per restart. */
  readonly attempt: number;
  /** Larger than that of every earlier attempt, also of an earlier launcher. */
  readonly epoch: number;
  readonly runId: string;
  /** A folder that only this user can enter: for sockets and tokens. It is removed when the launcher ends, however it ends. */
  readonly directory: string;
  /** Aborted when the attempt is to end before it has begun. */
  readonly signal: AbortSignal;
}

/** What `beforeSpawn` may set for an attempt; a rendezvous knows better than flags. */
export interface SpawnSettings {
  readonly env?: Readonly<Record<string, string>>;
  readonly epoch?: number;
  readonly nodeRank?: number;
  /** Ranks of every node, in node order. */
  readonly localWorldSizes?: readonly number[];
  readonly masterAddr?: string;
  /** Aborting it ends the attempt like a failed rank; its reason (an Error) is the root cause. For failures on other nodes. */
  readonly stop?: AbortSignal;
  /** The rank whose connection ended first while others needed it. Its exit came first, whatever the order in which exits are noticed. */
  readonly lostRank?: () => number | null;
  /**
   * Called when all ranks of the attempt have ended well. The attempt is over when it resolves: until then `stop` can still make it fail,
   * because another node has.
   */
  readonly confirm?: () => Promise<void>;
}

/** Options of `launch`. Flags have torchrun's meaning. */
export interface LaunchOptions extends RunFlagValues {
  /** The program each rank runs: a file for `node`, or any executable with `noNode`. */
  readonly script: string;
  /** Its arguments; `${local_rank}` in them becomes the local rank. */
  readonly args?: readonly string[];
  /** Arguments for `node` before the script, such as `--import tsx`. */
  readonly execArgv?: readonly string[];
  readonly cwd?: string;
  /** Variables for every rank, over the launcher's own. */
  readonly env?: Readonly<Record<string, string>>;
  /** Called before the ranks of each attempt are started. */
  readonly beforeSpawn?: (attempt: SpawnAttempt) => SpawnSettings | Promise<SpawnSettings>;
  /** Called when all ranks of an attempt have ended. */
  readonly afterAttempt?: (attempt: SpawnAttempt) => void | Promise<void>;
  readonly onEvent?: (event: LaunchEvent) => void;
  /**
   * Where output goes that is not redirected: `inherit` (the launcher's own streams, the default), `events` (line by line to
   * `onEvent`), or two streams.
   */
  readonly output?: "inherit" | "events" | { readonly stdout: Writable; readonly stderr: Writable };
  /** Ends the ranks like SIGTERM does. */
  readonly signal?: AbortSignal;
}

/** Checked options. */
export interface CompiledLaunchOptions {
  readonly script: string;
  readonly args: readonly string[];
  readonly execArgv: readonly string[];
  readonly noNode: boolean;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly nprocPerNode: number;
  readonly nodeCount: number;
  /** Null: to be assigned at the rendezvous. */
  readonly nodeRank: number | null;
  /** Node 0; null for a job of one node. */
  readonly rendezvous: { readonly host: string; readonly port: number } | null;
  readonly masterAddr: string;
  /** 0: find a free one. */
  readonly masterPort: number;
  readonly standalone: boolean;
  /** Null: make one up. */
  readonly runId: string | null;
  readonly maxRestarts: number;
  readonly role: string;
  readonly logDir: string | null;
  readonly redirects: StreamSelection;
  readonly tee: StreamSelection;
  /** Whether any rank has files for its output. */
  readonly keepsOutput: boolean;
  /** Local ranks shown on the console; null for all. */
  readonly shown: ReadonlySet<number> | null;
  readonly signals: readonly NodeJS.Signals[];
  readonly graceMs: number;
  readonly joinTimeoutMs: number;
  readonly nodeTimeoutMs: number;
  /** Null: planned. */
  readonly linkConnections: number | null;
  readonly insecure: boolean;
}

/** torch's default port of its c10d rendezvous. */
export const RENDEZVOUS_PORT = 29_400;

const PROCESSES_MAX = 4096;
const NODES_MAX = 65_536;

/**
 * Checks and completes the options. Precedence: option, PET_* variable, torchrun's default.
 * @throws {UsageError} RANKCAST_USAGE naming the flag or variable when a value is malformed, or values contradict each other.
 */
export function compileLaunchOptions(options: LaunchOptions, variables: ProcessVariables, facts: HostFacts): CompiledLaunchOptions {
  const read = (option: RunFlagOption) => new FlagText(option, options, variables);
  const standalone = read("standalone").switch();
  const nodeCount = nodeCountOf(read("nnodes"));
  const nodeRank = read("nodeRank").optional((flag) => flag.count(0, nodeCount - 1)) ?? (nodeCount === 1 ? 0 : null);
  if (standalone && nodeCount !== 1) throw refusal("--standalone", "one node", `--nnodes ${nodeCount}`);
  const masterAddr = read("masterAddr").text.replace(/^\[(.*)\]$/, "$1");
  const endpoint = standalone ? null : read("rdzvEndpoint").optional(endpointOf);
  if (!["static", "c10d"].includes(read("rdzvBackend").text)) read("rdzvBackend").refuse("static or c10d");
  if (nodeCount > 1 && endpoint === null && !read("masterAddr").isGiven) {
    throw refusal("--rdzv-endpoint", `node 0's address for a job of ${nodeCount} nodes`, "none");
  }
  const noNode = read("noNode").switch();
  const cwd = folderOf(options.cwd ?? ".");
  return Object.freeze({
    script: scriptOf(options.script, noNode, cwd),
    args: options.args ?? [],
    execArgv: options.execArgv ?? [],
    noNode,
    cwd,
    env: options.env ?? {},
    nprocPerNode: processCountOf(read("nprocPerNode"), facts),
    nodeCount,
    nodeRank,
    rendezvous: nodeCount === 1 ? null : (endpoint ?? { host: masterAddr, port: RENDEZVOUS_PORT }),
    masterAddr: read("masterAddr").isGiven ? masterAddr : (endpoint?.host ?? masterAddr),
    // A port that one node finds free tells the others nothing.
    masterPort: standalone ? 0 : read("masterPort").count(nodeCount > 1 ? 1 : 0, 65_535),
    standalone,
    runId: standalone ? null : read("rdzvId").optional((flag) => flag.name()),
    maxRestarts: read("maxRestarts").count(0, 1_000_000),
    role: read("role").name(),
    logDir: read("logDir").optional((flag) => resolve(flag.text)),
    redirects: parseStreamSelection(read("redirects").text, read("redirects").source),
    tee: parseStreamSelection(read("tee").text, read("tee").source),
    keepsOutput: read("redirects").text !== "0" || read("tee").text !== "0",
    shown: read("localRanksFilter").optional((flag) => new Set(flag.text.split(",").map((each) => flag.count(0, PROCESSES_MAX, each)))),
    signals: signalsOf(read("signalsToHandle")),
    graceMs: read("graceSeconds").seconds() * 1000,
    joinTimeoutMs: read("joinTimeout").seconds() * 1000,
    nodeTimeoutMs: read("nodeTimeout").seconds() * 1000,
    linkConnections: read("linkConnections").optional((flag) => flag.count(1, compileLimits().broadcastConnections)),
    insecure: read("insecure").switch(),
  });
}

/** The text of one flag and where it came from. */
class FlagText {
  readonly text: string;
  /** `--nnodes`, or the variable the text was taken from. */
  readonly source: string;
  /** False when the text is only the default. */
  readonly isGiven: boolean;

  constructor(option: RunFlagOption, values: RunFlagValues, variables: ProcessVariables) {
    const row = rowOf(option);
    const value = values[option];
    const variable = variables[row.variable];
    const inherited = variable !== undefined && variable !== "";
    this.isGiven = value !== undefined || inherited;
    this.source = value === undefined && inherited ? row.variable : row.flag;
    this.text = value === undefined ? (inherited ? variable : row.fallback) : String(value);
  }

  /** `convert`'s result, or null when there is no text. */
  optional<T>(convert: (flag: FlagText) => T): T | null {
    return this.text === "" ? null : convert(this);
  }

  /** A whole number in `least` to `most`. */
  count(least: number, most: number, text = this.text): number {
    const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
    return value >= least && value <= most ? value : this.refuse(`a whole number from ${least} to ${most}`);
  }

  /** Seconds, with or without fraction. */
  seconds(): number {
    return /^\d{1,7}(\.\d{1,6})?$/.test(this.text) ? Number(this.text) : this.refuse("seconds");
  }

  /** On or off; torchrun's variables say 1 and 0. */
  switch(): boolean {
    if (["1", "true"].includes(this.text)) return true;
    return ["0", "false", ""].includes(this.text) ? false : this.refuse("1 or 0");
  }

  /** A word that can be part of a file name. */
  name(): string {
    return /^[\w.:@+-]{1,128}$/.test(this.text) ? this.text : this.refuse("letters, digits and . _ : @ + -");
  }

  /** Refuses the text. */
  refuse(expected: string): never {
    throw refusal(this.source, expected, quote(this.text));
  }
}

function rowOf(option: RunFlagOption): RunFlag {
  const row = RUN_FLAGS.find((each) => each.option === option);
  if (row === undefined) throw new UsageError("RANKCAST_USAGE", `no such option: ${option}`, { details: { option } });
  return row;
}

function refusal(source: string, expected: string, found: string): UsageError {
  return new UsageError("RANKCAST_USAGE", `${source}: expected ${expected}, found ${found}`, {
    details: { option: source, expected, found },
  });
}

function nodeCountOf(flag: FlagText): number {
  const [least = "", most = least, ...rest] = flag.text.split(":");
  const count = flag.count(1, NODES_MAX, least);
  if (rest.length > 0 || flag.count(1, NODES_MAX, most) !== count)
    flag.refuse("one number of nodes (a range, for elastic jobs, is not supported)");
  return count;
}

function processCountOf(flag: FlagText, { cpuCount, acceleratorCount }: HostFacts): number {
  switch (flag.text) {
    case "auto":
      return acceleratorCount > 0 ? acceleratorCount : cpuCount;
    case "cpu":
      return cpuCount;
    case "gpu":
      return acceleratorCount > 0 ? acceleratorCount : flag.refuse("a number, auto or cpu: this machine shows no accelerator");
    default:
      return flag.count(1, PROCESSES_MAX);
  }
}

/** `host`, `host:port`, `[v6]:port`. */
function endpointOf(flag: FlagText): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.%\w]+)\]|([^\s:[\]/]+))(?::(\d{1,5}))?$/.exec(flag.text);
  const host = match?.[1] ?? match?.[2] ?? flag.refuse("HOST or HOST:PORT");
  return { host, port: match?.[3] === undefined ? RENDEZVOUS_PORT : flag.count(0, 65_535, match[3]) };
}

function signalsOf(flag: FlagText): NodeJS.Signals[] {
  const names = flag.text.split(",").filter((name) => name !== "");
  for (const name of names) {
    if (!(name in constants.signals) || name === "SIGKILL" || name === "SIGSTOP") flag.refuse("names of signals that can be caught");
  }
  return names as NodeJS.Signals[];
}

/** A folder that is gone would show as a program that cannot be found. */
function folderOf(cwd: string): string {
  try {
    const path = resolve(cwd);
    if (statSync(path).isDirectory()) return path;
  } catch {
    // `resolve` itself fails when this process's own folder was removed.
  }
  throw refusal("cwd", "a folder that exists", cwd === "." ? "a working directory that was removed" : quote(cwd));
}

function scriptOf(script: string, noNode: boolean, cwd: string): string {
  if (typeof script !== "string" || script === "") throw refusal("script", "the file each rank runs", "nothing");
  if (noNode) return script;
  const path = resolve(cwd, script);
  if (!["", ".js", ".cjs"].some((ending) => existsSync(path + ending))) throw refusal("script", "a file", `nothing at ${quote(script)}`);
  return path;
}
