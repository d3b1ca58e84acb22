/** What coordinates the ranks of one node, whether or not there are other nodes. */
import type { ConnectionListener } from "./grpc/coordination-server.ts";

/** A node of a job, and the ranks on it. */
export interface CoordinatedNode {
  readonly nodeRank: number;
  readonly host: string;
  readonly ranks: readonly number[];
}

/** See the module comment. */
export interface RankHost {
  /** What the ranks' server talks to. */
  readonly ranks: ConnectionListener;
  /** Where other nodes find node 0; null: there are none. */
  readonly endpoint: string | null;
  /** Resolves with all nodes when they have come together. */
  readonly joined: Promise<readonly CoordinatedNode[]>;
  /** Resolves when other nodes need this one no more. */
  settled(): Promise<void>;
  /** Ends the ranks' sessions. */
  end(): void;
  /** Ends the connections to other nodes. */
  leave(): Promise<void>;
}
