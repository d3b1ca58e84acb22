/** Several launchers on one machine, one per node of a job, as they would run on several machines. */
import { createServer } from "node:net";
import { type CommandOptions, type CommandResult, type CommandSandbox, RANKCAST, type RunningCommand } from "./command-sandbox.js";

/** How to start nodes. */
export interface NodesOptions extends CommandOptions {
  readonly nodes: number;
  readonly nprocPerNode: number;
  /** Node ranks are given out at the rendezvous. */
  readonly unranked?: boolean;
  /** More flags, per node. */
  readonly flags?: (nodeRank: number) => readonly string[];
  /** More variables, per node. */
  readonly envOf?: (nodeRank: number) => Readonly<Record<string, string>>;
  /** Working directory, per node. */
  readonly cwdOf?: (nodeRank: number) => string;
}

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (typeof address === "object" && address !== null ? resolve(address.port) : reject(new Error("no port"))));
    });
  });
}

/** Starts `rankcast <verb> … <words>` once per node, the nodes meeting at a free port of this machine. */
export async function startNodes(
  sandbox: CommandSandbox,
  verb: "load" | "run",
  words: readonly string[],
  options: NodesOptions,
): Promise<RunningCommand[]> {
  const port = await freePort();
  return Array.from({ length: options.nodes }, (_, nodeRank) => {
    const flags = [
      ...["--nnodes", String(options.nodes), "--nproc-per-node", String(options.nprocPerNode)],
      ...["--rdzv-endpoint", `127.0.0.1:${port}`, "--join-timeout", "30", "--grace-seconds", "3", "--json"],
      ...(options.unranked ? [] : ["--node-rank", String(nodeRank)]),
      ...(options.flags?.(nodeRank) ?? []),
    ];
    const env = { ...options.env, ...options.envOf?.(nodeRank) };
    const cwd = options.cwdOf?.(nodeRank);
    return sandbox.start([RANKCAST, verb, ...flags, ...words], { ...options, env, ...(cwd === undefined ? {} : { cwd }) });
  });
}

/** The same, to the end of all of them. */
export async function runNodes(
  sandbox: CommandSandbox,
  verb: "load" | "run",
  words: readonly string[],
  options: NodesOptions,
): Promise<CommandResult[]> {
  const commands = await startNodes(sandbox, verb, words, options);
  return Promise.all(commands.map((command) => command.ended));
}
