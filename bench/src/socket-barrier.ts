/**
 * The peer of a barrier: bare sockets in the same shape (ranks to their node over a unix socket, nodes to the head over TCP), one byte per message, nothing
 * checked, named or timed. What is left is what processes, wake-ups and system calls cost on this machine.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

/** What one node's thread is told. */
export interface SocketNodeOptions {
  readonly path: string;
  readonly ranks: number;
  /** Port of the head's thread; null: this is the head. */
  readonly headPort: number | null;
  /** The head: other nodes. */
  readonly nodes: number;
}

/** One rank's end. */
export interface SocketRank {
  arrive(): Promise<void>;
  close(): void;
}

/** Starts a node's thread; resolves with the port where it takes other nodes (the head's). */
export async function startSocketNode(options: SocketNodeOptions): Promise<{ readonly port: number; close(): void }> {
  const worker = new Worker(new URL(import.meta.url), { workerData: options });
  const port = await new Promise<number>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  return { port, close: () => void worker.terminate() };
}

/** Connects a rank. */
export function joinSockets(path: string): Promise<SocketRank> {
  return new Promise((resolve, reject) => {
    let decided = (): void => undefined;
    const socket = connect(path);
    socket.on("error", reject);
    socket.on("data", () => decided());
    socket.on("connect", () =>
      resolve({
        arrive: () =>
          new Promise((done) => {
            decided = done;
            socket.write("a");
          }),
        close: () => void socket.destroy(),
      }),
    );
  });
}

function serve({ path, ranks, headPort, nodes }: SocketNodeOptions): void {
  const members = new Set<Socket>();
  const all = ranks + nodes;
  let arrived = 0;
  const decide = (): void => {
    arrived = 0;
    for (const each of members) each.write("d");
  };
  const head = headPort === null ? null : connect({ port: headPort, host: "127.0.0.1", noDelay: true });
  head?.on("data", decide);
  head?.on("error", () => undefined);
  const take = (socket: Socket): void => {
    members.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => members.delete(socket));
    socket.on("data", (bytes) => {
      arrived += bytes.length;
      if (arrived < all) return;
      if (head) head.write("a");
      else decide();
    });
  };
  const unix: Server = createServer(take);
  const tcp = createServer({ noDelay: true }, take);
  unix.listen(path, () => tcp.listen(0, "127.0.0.1", () => parentPort?.postMessage((tcp.address() as { readonly port: number }).port)));
}

if (!isMainThread && workerData !== null && typeof workerData === "object" && "headPort" in workerData)
  serve(workerData as SocketNodeOptions);
