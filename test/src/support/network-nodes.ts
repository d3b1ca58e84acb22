/**
 * Several hosts on one machine: a network namespace each, joined by one bridge, every link limited both ways. Runs inside a mount and
 * network namespace of the suite's own (`scripts/test-cluster.mjs` makes it), so that nothing outside can see, meet or disturb it.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import type { CommandResult } from "./command-sandbox.js";

/** Addresses of node 0, 1, ...: 10.78.0.1, 10.78.0.2, ... */
export function nodeAddress(node: number): string {
  return `10.78.0.${node + 1}`;
}

/** A program that runs on a node. */
export interface NodeProcess {
  readonly pid: number;
  /** Resolves once its stderr or stdout holds `text`; rejects when it ends without it. */
  waitFor(text: string): Promise<void>;
  readonly ended: Promise<CommandResult>;
}

/** Hosts of earlier tests may still be going: the kernel takes a namespace away when its last process has ended. */
let instances = 0;

/** See the module comment. */
export class NetworkNodes {
  readonly count: number;
  readonly #running = new Set<number>();
  readonly #prefix: string;

  /** `rate` as `tc` writes it (`200mbit`), or null for links without a limit. */
  constructor(count: number, rate: string | null) {
    this.count = count;
    instances += 1;
    this.#prefix = `rk${instances}`;
    ip("link", "add", this.#bridge, "type", "bridge");
    ip("link", "set", this.#bridge, "up");
    for (let node = 0; node < count; node += 1) this.#add(node, rate);
  }

  /** Starts a program on a node with exactly these variables. */
  start(node: number, argv: readonly string[], env: Readonly<Record<string, string>>, cwd: string): NodeProcess {
    const child = spawn("ip", ["netns", "exec", this.#name(node), ...argv], {
      env,
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const pid = child.pid ?? -1;
    this.#running.add(pid);
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => void out.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => void err.push(chunk));
    const text = (chunks: readonly Buffer[]): string => Buffer.concat(chunks).toString("utf8");
    const ended = new Promise<CommandResult>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (exitCode, signal) => {
        this.#running.delete(pid);
        resolve({ exitCode, signal, stdout: text(out), stderr: text(err) });
      });
    });
    const waitFor = async (expected: string): Promise<void> => {
      const seen = (): boolean => text(err).includes(expected) || text(out).includes(expected);
      while (!seen()) {
        const more = Promise.race([once(child.stderr, "data"), once(child.stdout, "data")]).then(() => false);
        if ((await Promise.race([more, ended.then(() => true)])) && !seen())
          throw new Error(`ended without ${JSON.stringify(expected)}: ${text(err)}`);
      }
    };
    return { pid, waitFor, ended };
  }

  /** Takes a node's cable out. */
  cut(node: number): void {
    ip("link", "set", this.#port(node), "down");
  }

  /** Puts it back. */
  heal(node: number): void {
    ip("link", "set", this.#port(node), "up");
  }

  /** Drops everything that arrives at a node: it can send, and hears nothing. */
  deafen(node: number): void {
    this.#filter(node, "drop");
  }

  /** Drops each arriving packet with this chance. */
  lose(node: number, percent: number): void {
    this.#filter(node, `numgen random mod 100 < ${percent} drop`);
  }

  /** Drops what arrives at a node on every connection but those to and from `port`: the node talks to nobody but who listens there. */
  leaveOnly(node: number, port: number): void {
    this.#filter(node, `tcp sport ${port} accept`, `tcp dport ${port} accept`, "meta l4proto tcp drop");
  }

  /** Drops what arrives at a node from another one on every connection but those to and from `port`. */
  divide(node: number, from: number, port: number): void {
    this.#filter(node, `tcp sport ${port} accept`, `tcp dport ${port} accept`, `ip saddr ${nodeAddress(from)} drop`);
  }

  /** Ends all filters of a node. */
  listen(node: number): void {
    execFileSync("ip", ["netns", "exec", this.#name(node), "nft", "delete table ip faults"]);
  }

  /** Kills everything that runs on a node at once. */
  crash(node: number): void {
    const pids = execFileSync("ip", ["netns", "pids", this.#name(node)], { encoding: "utf8" })
      .split("\n")
      .filter(Boolean);
    execFileSync("kill", ["-KILL", ...pids]);
  }

  /** Ends every program and takes the hosts away. */
  close(): void {
    for (const pid of this.#running) {
      try {
        process.kill(-pid, "SIGKILL");
      } catch {
        // It ended by itself.
      }
    }
    for (let node = 0; node < this.count; node += 1) {
      ip("link", "del", this.#port(node));
      ip("netns", "del", this.#name(node));
    }
    ip("link", "del", this.#bridge);
  }

  get #bridge(): string {
    return `${this.#prefix}br`;
  }

  #name(node: number): string {
    return `${this.#prefix}n${node}`;
  }

  #port(node: number): string {
    return `${this.#prefix}v${node}`;
  }

  #add(node: number, rate: string | null): void {
    ip("netns", "add", this.#name(node));
    ip("link", "add", this.#port(node), "type", "veth", "peer", "name", "e0", "netns", this.#name(node));
    ip("link", "set", this.#port(node), "master", this.#bridge, "up");
    ip("-n", this.#name(node), "addr", "add", `${nodeAddress(node)}/24`, "dev", "e0");
    ip("-n", this.#name(node), "link", "set", "e0", "up");
    ip("-n", this.#name(node), "link", "set", "lo", "up");
    if (rate === null) return;
    const limit = ["root", "tbf", "rate", rate, "burst", "256kb", "latency", "50ms"];
    execFileSync("tc", ["qdisc", "add", "dev", this.#port(node), ...limit]);
    execFileSync("ip", ["netns", "exec", this.#name(node), "tc", "qdisc", "add", "dev", "e0", ...limit]);
  }

  /** The first rule that fits a packet decides. */
  #filter(node: number, ...rules: readonly string[]): void {
    const chain = "add table ip faults; add chain ip faults in { type filter hook input priority 0; }";
    const added = rules.map((rule) => `add rule ip faults in iifname e0 ${rule}`);
    execFileSync("ip", ["netns", "exec", this.#name(node), "nft", [chain, ...added].join("; ")]);
  }
}

function ip(...args: string[]): void {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "pipe"] });
}
