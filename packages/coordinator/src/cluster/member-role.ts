/** A node that is not the head: its stream to the head. */
import { DistributionError } from "@rankcast/core";
import { asCheckpointError } from "@rankcast/core/runtime";
import { type ClusterChannel, openClusterChannel } from "../grpc/cluster-channel.ts";
import type { HeadMessage, NodeMessage } from "../grpc/cluster-server.ts";
import { isLoopback, type LinkKey } from "../link/link-key.ts";
import type { NodeRole, Uplink, UplinkListener } from "./job-node.ts";

/** What a member is told beside what every node is. */
export interface MemberOptions {
  /** Where the head is. */
  readonly address: string;
  readonly key: LinkKey;
  readonly silenceMs: number;
  readonly heartbeatMs: number;
}

/** See the module comment. */
export class MemberRole implements NodeRole {
  /** The address by which the head sees this node: other nodes do so too. */
  readonly listenHost: string;
  readonly #options: MemberOptions;
  readonly #stream: HeadStream;

  private constructor(options: MemberOptions, stream: HeadStream, localHost: string) {
    this.#options = options;
    this.#stream = stream;
    this.listenHost = localHost;
  }

  /**
   * Connects to the head.
   * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE, RANKCAST_TOKEN_REFUSED, RANKCAST_WRONG_JOB, RANKCAST_PROTOCOL.
   */
  static async open(options: MemberOptions): Promise<MemberRole> {
    const stream = new HeadStream();
    return new MemberRole(options, stream, await stream.connect(options));
  }

  get reachableHost(): string {
    return this.listenHost;
  }

  get headAddress(): string {
    return this.#options.address;
  }

  open(node: UplinkListener): Uplink {
    const { silenceMs, heartbeatMs } = this.#options;
    let heardMs = performance.now();
    let suspected = false;
    const beat = setInterval(() => {
      this.#stream.send({ type: "heartbeat" });
      const silentMs = performance.now() - heardMs;
      // Twice in a row: after a turn in which this process could not run, what the head has said meanwhile is read first.
      if (silentMs >= silenceMs && suspected) {
        const text = `the head node has shown no sign of life for ${(silentMs / 1000).toFixed(1)} s`;
        node.lose(new DistributionError("RANKCAST_COORDINATOR_LOST", text, { details: { silentMs } }));
      }
      suspected = silentMs >= silenceMs - heartbeatMs;
    }, heartbeatMs);
    beat.unref();
    this.#stream.listen({
      hear: (message) => {
        heardMs = performance.now();
        suspected = false;
        node.hear(message);
      },
      lose: (error) => node.lose(error),
    });
    return {
      send: (message) => this.#stream.send(message),
      close: async () => {
        clearInterval(beat);
        await this.#stream.close();
      },
    };
  }

  coordinate(): null {
    return null;
  }
}

/** The stream, with what came before anybody listened. */
class HeadStream {
  readonly #early: HeadMessage[] = [];
  #channel: ClusterChannel | null = null;
  #listener: UplinkListener | null = null;
  #end: Error | null = null;

  /** Resolves with this node's own address on the connection. */
  connect({ address, key }: MemberOptions): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#channel = openClusterChannel(address, key, {
        onConnected: (localHost) => resolve(isLoopback(localHost) || localHost === "" ? "127.0.0.1" : localHost.replace(/^::ffff:/i, "")),
        onMessage: (message) => (this.#listener ? this.#listener.hear(message) : this.#early.push(message)),
        onEnd: (error, connected) => {
          this.#end = error;
          if (connected) this.#listener?.lose(error);
          else reject(error);
        },
      });
    });
  }

  listen(listener: UplinkListener): void {
    this.#listener = listener;
    for (const message of this.#early.splice(0)) listener.hear(message);
    if (this.#end) listener.lose(asCheckpointError(this.#end));
  }

  send(message: NodeMessage): void {
    this.#channel?.send(message);
  }

  async close(): Promise<void> {
    await this.#channel?.close();
  }
}
