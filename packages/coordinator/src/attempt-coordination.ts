/** What a launch needs from whoever coordinates its ranks. */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CheckpointError, LoadReport, markOwner } from "@rankcast/core/launcher";
import type { RankFailure } from "./launch/launch-event.ts";
import type { SpawnAttempt, SpawnSettings } from "./launch/launch-options.ts";
import type { CoordinatorEvent } from "./node/coordinator-event.ts";

/** Coordinates the attempts of one launch. */
export interface AttemptCoordination {
  /** What the coordinator has said in the last attempt. */
  readonly said: AttemptRecord;
  /** Starts the attempt's coordinator; gives what leads ranks to it. */
  begin(attempt: SpawnAttempt): Promise<SpawnSettings>;
  /** Ranks are about to be spawned. */
  starting(): void;
  /** Ends it. Safe to call twice. */
  end(): Promise<void>;
  /** A rank has failed. */
  rankFailed(failure: RankFailure): void;
  /** The launch has failed; gives the error to throw. */
  conclude(error: unknown): Promise<unknown>;
  /** The launch is over. */
  close(): Promise<void>;
}

/** Reports that a launch keeps: the first, and the last ones. A training loop updates for days, and each report is kilobytes. */
const REPORTS_MAX = 100;

/** What the coordinator of one attempt has said. */
export class AttemptRecord {
  readonly reports: LoadReport[] = [];
  /** Reports between the first and the second of `reports` that were not kept. */
  reportsOmitted = 0;
  failure: CheckpointError | null = null;

  /** Takes an event. */
  take(event: CoordinatorEvent): void {
    if (event.type === "report") this.reports.push(new LoadReport(event.report));
    if (this.reports.length > REPORTS_MAX) this.reportsOmitted += this.reports.splice(1, 1).length;
    if (event.type === "failed") this.failure ??= event.error;
  }

  /** The rank whose connection ended while others needed it, nobody here knows why, if that is how the attempt failed. */
  get lostRank(): number | null {
    const { code, details } = this.failure ?? {};
    return code === "RANKCAST_RANK_LOST" && details?.["reason"] === undefined ? rootRankOf(this.failure) : null;
  }

  /**
   * The better known of the launcher's error and the coordinator's. The launcher's: somebody wanted the end, or it is about the rank whose
   * connection closed (the coordinator sees no more of it; the launcher knows the exit code, the signal and the error file).
   */
  better(error: unknown): unknown {
    if (this.failure === null) return error;
    if (this.lostRank === null) return this.failure;
    const wanted = error instanceof CheckpointError && error.class === "cancelled";
    return wanted || rootRankOf(error) === this.lostRank ? error : this.failure;
  }
}

/** The rank whose failure came first; null when no rank's did. */
export function rootRankOf(error: unknown): number | null {
  const cause = error instanceof CheckpointError ? (error.details["rootCause"] as { readonly rank?: unknown } | undefined) : undefined;
  return typeof cause?.rank === "number" ? cause.rank : null;
}

/** Variables that lead ranks to a coordinator. The token travels in a file, never in a variable. */
export function leadTo(address: string, token: string, attempt: SpawnAttempt): Record<string, string> {
  const lead = leadAhead(address, attempt);
  lead.open(token);
  return lead.env;
}

/** Leads ranks to a coordinator that does not listen yet. */
export interface LeadAhead {
  readonly env: Record<string, string>;
  /** Ranks wait while the token's file is empty; called once the coordinator listens. */
  open(token: string): void;
}

/** See `LeadAhead`. */
export function leadAhead(address: string, { directory, attempt }: SpawnAttempt): LeadAhead {
  const tokenFile = join(directory, `token-${attempt}`);
  writeFileSync(tokenFile, "", { mode: 0o600 });
  // Ranks that come while this process stands still (SIGSTOP) have had no answer that tells them whom to look at.
  markOwner(directory);
  return {
    env: { RANKCAST_COORDINATOR: address, RANKCAST_TOKEN_FILE: tokenFile },
    open(token) {
      // In one step: a rank must not read half of it.
      writeFileSync(`${tokenFile}.new`, token, { mode: 0o600 });
      renameSync(`${tokenFile}.new`, tokenFile);
    },
  };
}

/** Where an attempt's coordinator listens: in the launch's own folder, which goes away with the launcher even when it is killed. */
export function socketOf({ directory, attempt }: SpawnAttempt): string {
  return `unix:${join(directory, `coordinator-${attempt}.sock`)}`;
}
