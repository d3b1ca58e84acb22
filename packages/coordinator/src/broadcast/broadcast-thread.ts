/** Entry of the two threads of the data plane: one fills segments, one serves them, so that a relay receives and sends at once. */
import { parentPort, workerData } from "node:worker_threads";
import { broadcastKey, toErrorRecord } from "@rankcast/core/runtime";
import { FillSide } from "./fill-side.ts";
import { grpcLane } from "./grpc-lane.ts";
import { ServeSide } from "./serve-side.ts";
import { tcpLane } from "./tcp-lane.ts";
import type { FillCommand, Opened, ServeCommand, ThreadMessage, ThreadStart } from "./thread-message.ts";

const start = workerData as ThreadStart;
const tell = (message: ThreadMessage): void => void parentPort?.postMessage(message);
const { certificates } = start.key;
// Buffers arrive as plain byte arrays, which TLS does not take.
const key = {
  ...start.key,
  certificates: certificates && {
    certificate: Buffer.from(certificates.certificate),
    key: Buffer.from(certificates.key),
    authority: Buffer.from(certificates.authority),
  },
};
const lane = start.lane === "grpc" ? grpcLane(key) : tcpLane(key);

if (start.role === "serve") {
  const side = new ServeSide(start, tell);
  try {
    const { address, port } = await side.listen(lane, start.listen);
    start.port.on("message", (command: ServeCommand) => {
      side.take(command);
      if (command.type === "open") start.port.postMessage({ opened: broadcastKey(command.offer.id) } satisfies Opened);
      if (command.type === "close") start.port.close();
    });
    tell({ type: "ready", address, port });
  } catch (error) {
    tell({ type: "unready", error: toErrorRecord(error) });
    start.port.close();
  }
} else {
  const side = new FillSide({ ...start, lane, tell, serve: (command) => start.port.postMessage(command) });
  start.port.on("message", ({ opened }: Opened) => side.opened(opened));
  parentPort?.on("message", (command: FillCommand) => {
    side.take(command);
    if (command.type !== "close") return;
    // The ports would keep the thread alive.
    parentPort?.close();
    start.port.close();
  });
  tell({ type: "ready", address: "", port: 0 });
}
