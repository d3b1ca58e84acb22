/** A server of ranks, a rank's channel to it, and what each hears. */
import {
  type ConnectionListener,
  type CoordinationServer,
  type CoordinatorMessage,
  type Hello,
  type RankConnection,
  type RankMessage,
  startCoordinationServer,
} from "@rankcast/coordinator/internal";
import type { CheckpointError } from "@rankcast/core";
import { type CoordinatorChannel, openCoordinatorChannel } from "@rankcast/worker/internal";

export const TOKEN = "the job's token";

export const HELLO: Hello = {
  type: "hello",
  protocol: 2,
  jobId: "job",
  epoch: 0,
  rank: 3,
  localRank: 3,
  nodeRank: 0,
  worldSize: 4,
  localWorldSize: 4,
  incarnation: "tag",
  pid: 1,
  host: "h",
};

/** What has come, and a way to wait for more. */
export class Heard<T> {
  readonly all: T[] = [];
  #waiting: (() => void)[] = [];
  add(one: T): void {
    this.all.push(one);
    for (const each of this.#waiting.splice(0)) each();
  }
  /** Resolves when so many have come; what does not come ends with the test's time. */
  async count(count: number): Promise<readonly T[]> {
    while (this.all.length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.all;
  }
}

/** The coordinator's side, recorded. */
export class RecordedListener implements ConnectionListener {
  readonly joined = new Heard<RankConnection>();
  readonly messages = new Heard<RankMessage>();
  readonly ends = new Heard<RankConnection>();
  onJoin(connection: RankConnection): void {
    this.joined.add(connection);
  }
  onMessage(_connection: RankConnection, message: RankMessage): void {
    this.messages.add(message);
  }
  onEnd(connection: RankConnection): void {
    this.ends.add(connection);
  }
}

/** A rank's side, recorded. */
export interface RecordedRank {
  readonly channel: CoordinatorChannel;
  readonly messages: Heard<CoordinatorMessage>;
  readonly ends: Heard<CheckpointError | null>;
}

/** Opens a channel and says hello; `onMessage` hears before it is recorded. */
export function openRank(
  address: string,
  {
    token = TOKEN,
    takesLane = true,
    onMessage,
  }: { token?: string; takesLane?: boolean; onMessage?: (message: CoordinatorMessage, channel: CoordinatorChannel) => void } = {},
): RecordedRank {
  const messages = new Heard<CoordinatorMessage>();
  const ends = new Heard<CheckpointError | null>();
  const channel: CoordinatorChannel = openCoordinatorChannel(
    address,
    token,
    {
      onMessage: (message) => {
        onMessage?.(message, channel);
        messages.add(message);
      },
      onEnd: (error) => ends.add(error),
    },
    takesLane,
  );
  channel.send(HELLO);
  return { channel, messages, ends };
}

/** Starts a server for ranks that know the token. */
export function startServer(
  address: string,
  listener: ConnectionListener,
  options: Parameters<typeof startCoordinationServer>[3] = {},
): Promise<CoordinationServer> {
  return startCoordinationServer(address, TOKEN, listener, options);
}

/** The answer to a hello. */
export const WELCOME: CoordinatorMessage = {
  type: "welcome",
  protocol: 2,
  jobId: "job",
  epoch: 0,
  nodeRank: 0,
  nodeCount: 1,
  barrierTimeoutMs: 600,
};

/** A numbered message of a coordinator. */
export const numbered = (number: number): CoordinatorMessage => ({ type: "newest", subscription: 1, number });
