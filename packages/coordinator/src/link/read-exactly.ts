/** Reading a fixed number of bytes from a socket and nothing behind them. */
import type { Duplex } from "node:stream";
import { DistributionError } from "@rankcast/core";

/** RANKCAST_PROTOCOL: a stream ended before all that was expected had come. */
export class HungUp extends DistributionError {
  /** What did come. */
  readonly received: Buffer;

  constructor(received: Buffer) {
    super("RANKCAST_PROTOCOL", "the other node hung up during the handshake");
    this.received = received;
  }
}

/**
 * The next `count` bytes. What follows stays in the stream, which is left paused.
 * @throws {HungUp} RANKCAST_PROTOCOL when the stream ends before, or with its error.
 */
export function readExactly(socket: Duplex, count: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let rest: Buffer = Buffer.alloc(0);
    const finish = (settle: () => void): void => {
      socket.off("readable", look);
      socket.off("end", onEnd);
      socket.off("close", onEnd);
      socket.off("error", onError);
      settle();
    };
    const look = (): void => {
      // At the end `read` gives what is left, however little that is.
      const bytes: Buffer | null = socket.read(count);
      if (bytes === null) return;
      if (bytes.length === count) finish(() => resolve(bytes));
      else rest = bytes;
    };
    const onEnd = (): void => finish(() => reject(new HungUp(rest)));
    const onError = (error: Error): void => finish(() => reject(error));
    socket.on("readable", look);
    socket.on("end", onEnd);
    socket.on("close", onEnd);
    socket.on("error", onError);
    if (socket.destroyed || socket.readableEnded) onEnd();
    else look();
  });
}
