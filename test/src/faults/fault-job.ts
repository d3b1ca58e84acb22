/** A job of several nodes on this machine that takes updates, and ways to disturb it. */
import { fileURLToPath } from "node:url";
import type { CommandSandbox, RunningCommand } from "../support/command-sandbox.js";
import { startNodes } from "../support/launch-nodes.js";

/** What a rank says. */
export interface RankLine {
  readonly rank: number;
  readonly pid: number;
  readonly nodeRank: number;
  readonly ready?: boolean;
  readonly epoch?: string;
  readonly begins?: number;
  readonly ms?: number;
  readonly ended?: boolean;
  readonly code?: string;
  readonly rootCause?: { readonly rank: number | null; readonly nodeRank: number; readonly pid: number; readonly message: string };
  readonly failedMs?: number;
  readonly turn?: number;
  readonly held?: number | null;
}

/** How to run it. One rank per node. */
export interface FaultJobOptions {
  readonly nodes: number;
  readonly updates: number;
  readonly src: number;
  readonly flags?: readonly string[];
  readonly timeoutMs: number;
}

const PROGRAM = fileURLToPath(new URL("fault-rank.js", import.meta.url));

/** See the module comment. */
export class FaultJob {
  /** By node rank. */
  readonly launchers: readonly RunningCommand[];

  private constructor(launchers: readonly RunningCommand[]) {
    this.launchers = launchers;
  }

  /** Starts it. */
  static async start(sandbox: CommandSandbox, { nodes, updates, src, flags = [], timeoutMs }: FaultJobOptions): Promise<FaultJob> {
    const words = [PROGRAM, String(updates), String(src)];
    return new FaultJob(await startNodes(sandbox, "run", words, { nodes, nprocPerNode: 1, flags: () => flags, timeoutMs }));
  }

  /** What the ranks of a node have said so far. */
  linesOf(node: number): RankLine[] {
    const text = this.launchers[node]?.stderr() ?? "";
    return [...text.matchAll(/@(\{.*\})$/gm)].map(([, json]) => JSON.parse(json ?? "") as RankLine);
  }

  /** Resolves when a node's rank begins an update, with how long the one before has taken. */
  async begins(node: number, turn: number): Promise<number> {
    await this.launchers[node]?.waitForStderr(`"begins":${turn},`);
    const [before = 0, now = 0] = [turn - 1, turn].map((each) => this.linesOf(node).find(({ begins }) => begins === each)?.ms);
    return now - before;
  }

  /** Sends a signal to a node's rank, the youngest where it was started again. */
  signalRank(node: number, signal: NodeJS.Signals): void {
    const pid = this.linesOf(node).findLast(({ ready }) => ready)?.pid;
    if (pid === undefined) throw new Error(`no rank of node ${node} is ready`);
    process.kill(pid, signal);
  }

  /** Sends a signal to everything of a node, its coordinator first, as when the machine fails. */
  signalNode(node: number, signal: NodeJS.Signals): void {
    this.launchers[node]?.kill(signal);
    this.signalRank(node, signal);
  }

  /** Waits for the launchers of these nodes; gives the last that each of their ranks has said. */
  async end(nodes: readonly number[]): Promise<RankLine[]> {
    await Promise.all(nodes.map((node) => this.launchers[node]?.ended));
    return nodes.map((node) => {
      const last = this.linesOf(node).at(-1);
      if (!last) throw new Error(`node ${node} said nothing: ${this.launchers[node]?.stderr()}`);
      return last;
    });
  }
}
