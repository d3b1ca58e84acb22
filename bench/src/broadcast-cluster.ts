/** Starts nodes of the broadcast bench, each in a process (and, where asked, in a network namespace), and gives them orders. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { NodeOrder } from "./broadcast-node.js";

/** One node's process. */
export interface BenchNode {
  /** Milliseconds it took, and what came back. */
  order(order: DistributiveOmit<NodeOrder, "id">): Promise<{ readonly ms: number; readonly value: unknown }>;
  /** Lets it stand still, as a machine that hangs: its sockets stay open. */
  freeze(): void;
  stop(): void;
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

const PROGRAM = fileURLToPath(new URL("./broadcast-node.js", import.meta.url));

/** A node; `namespace` runs it under `ip netns exec`. */
export function startBenchNode(namespace: string | null): BenchNode {
  const command = [process.execPath, PROGRAM];
  const [program = "", ...parts] = namespace === null ? command : ["ip", "netns", "exec", namespace, ...command];
  const child: ChildProcess = spawn(program, parts, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const open = new Map<number, { resolve(value: { ms: number; value: unknown }): void; reject(error: Error): void; since: number }>();
  let orders = 0;
  child.on("message", ({ id, value, error }: { id: number; value?: unknown; error?: string }) => {
    const waiting = open.get(id);
    open.delete(id);
    if (error !== undefined) waiting?.reject(new Error(error));
    else waiting?.resolve({ ms: performance.now() - waiting.since, value });
  });
  child.on("exit", (code) => {
    for (const { reject } of open.values()) reject(new Error(`a node ended with code ${code}`));
  });
  return {
    order(order) {
      orders += 1;
      const id = orders;
      return new Promise((resolve, reject) => {
        open.set(id, { resolve, reject, since: performance.now() });
        child.send({ ...order, id });
      });
    },
    freeze: () => void child.kill("SIGSTOP"),
    stop: () => void child.kill("SIGKILL"),
  };
}
