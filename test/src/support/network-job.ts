/** A job of `rankcast load` over network nodes: one launcher per node, secrets in files, results by node. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CommandResult } from "./command-sandbox.js";
import { RANKCAST } from "./command-sandbox.js";
import { type NetworkNodes, type NodeProcess, nodeAddress } from "./network-nodes.js";

/** A job that runs. */
export interface NetworkJob {
  /** By node rank. */
  readonly launchers: readonly NodeProcess[];
  /** Waits for every launcher; `seconds` since the start. */
  end(): Promise<readonly (CommandResult & { readonly seconds: number })[]>;
  /** A folder of the job's own, seen by all nodes. */
  readonly directory: string;
  close(): void;
}

/** Where node 0 listens for the others. */
export const PORT = 29_400;

/** Starts one launcher per node; `args` go to every one of them, behind the weights. `strangerNode` has another job's token. */
export function startNetworkJob(
  nodes: NetworkNodes,
  weights: string,
  args: readonly string[] = [],
  { strangerNode }: { readonly strangerNode?: number } = {},
): NetworkJob {
  const directory = mkdtempSync("/tmp/rcn-");
  const token = join(directory, "token");
  writeFileSync(token, "5".repeat(64), { mode: 0o600 });
  writeFileSync(`${token}-of-another-job`, "6".repeat(64), { mode: 0o600 });
  const beginMs = performance.now();
  const launchers = Array.from({ length: nodes.count }, (_, node) => {
    // Hosts share nothing but the token and what the test puts there: a home, a cache and a temporary folder each.
    const home = join(directory, `node${node}`);
    mkdirSync(join(home, "tmp"), { recursive: true });
    const flags = [
      "--nnodes",
      `${nodes.count}`,
      "--node-rank",
      `${node}`,
      "--rdzv-endpoint",
      `${nodeAddress(0)}:${PORT}`,
      "--rdzv-id",
      "net",
    ];
    const own = { PATH: process.env["PATH"] ?? "", HOME: home, TMPDIR: join(home, "tmp"), RANKCAST_HOME: join(home, "cache") };
    const argv = [process.execPath, RANKCAST, "load", weights, ...flags, ...args, "--json"];
    return nodes.start(node, argv, { ...own, RANKCAST_TOKEN_FILE: node === strangerNode ? `${token}-of-another-job` : token }, home);
  });
  return {
    launchers,
    directory,
    end: () =>
      Promise.all(
        launchers.map(async ({ ended }) => {
          const result = await ended;
          return { ...result, seconds: (performance.now() - beginMs) / 1000 };
        }),
      ),
    close: () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** The error document at the end of a launcher's stderr. */
export function errorOf({ stderr }: CommandResult): {
  readonly code: string;
  readonly class: string;
  readonly message: string;
  readonly details: { readonly rootCause?: { readonly nodeRank: number; readonly host: string } };
} {
  const last = stderr.trimEnd().split("\n").at(-1) ?? "";
  return (JSON.parse(last) as { error: ReturnType<typeof errorOf> }).error;
}
