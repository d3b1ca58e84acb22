/** A lane over gRPC streams. It is slower than the raw one and kept for networks that let nothing else through. */
import { dialLaneStream, type LaneStream, startLaneStreamServer } from "../grpc/lane-stream.ts";
import type { LinkKey } from "../link/link-key.ts";
import { listenForLinks } from "../link/link-listener.ts";
import type { Lane, LaneConnection } from "./lane.ts";

/** The lane of a job. */
export function grpcLane(key: LinkKey): Lane {
  return {
    connect: async (address) => connectionOf(await dialLaneStream(address, key)),
    async listen(address, onConnection) {
      const server = startLaneStreamServer((stream) => onConnection(connectionOf(stream)));
      const listener = await listenForLinks({
        address,
        key,
        onLink(kind, socket) {
          if (kind === "grpc") server.inject(socket);
          else socket.destroy();
        },
      });
      return {
        address: listener.address,
        port: listener.port,
        close() {
          server.close();
          return listener.close();
        },
      };
    },
  };
}

function connectionOf(stream: LaneStream): LaneConnection {
  let reason = "the other node closed the stream";
  let over = false;
  let tell = (_: string): void => undefined;
  const finish = (): void => {
    if (over) return;
    over = true;
    tell(reason);
  };
  stream.on("error", (error) => {
    reason = error.message;
    finish();
  });
  for (const event of ["end", "close", "cancelled"] as const) stream.on(event, finish);
  return {
    roundTripMs: null,
    start(listener) {
      tell = listener.onClose;
      stream.on("data", (bytes) => listener.onBytes(bytes));
      if (over) setImmediate(() => listener.onClose(reason));
    },
    write(parts, written) {
      if (over) return;
      parts.forEach((part, at) => {
        stream.write(Buffer.from(part.buffer, part.byteOffset, part.byteLength), at === parts.length - 1 ? written : undefined);
      });
    },
    destroy() {
      stream.cut();
      setImmediate(finish);
    },
  };
}
