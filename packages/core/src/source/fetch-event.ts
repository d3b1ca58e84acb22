/** What a fetch tells while it runs. The library prints nothing; who wants to see it listens. */

/** Progress of one file. Sent at most ten times a second, and once at the end. */
export interface FetchProgress {
  readonly type: "progress";
  /** Without secrets. */
  readonly name: string;
  readonly bytesDone: number;
  /** Null when the server does not declare it. */
  readonly bytesTotal: number | null;
  /** Over the last seconds, without bytes of an earlier try. */
  readonly bytesPerSecond: number;
  readonly etaMs: number | null;
  /** Requests sent again so far. */
  readonly retries: number;
}

/** A request failed and is sent again. */
export interface FetchRetry {
  readonly type: "retry";
  readonly name: string;
  readonly code: string;
  readonly message: string;
  readonly delayMs: number;
}

/** Another process or thread downloads the same file; this one waits for it. */
export interface FetchWaiting {
  readonly type: "waiting";
  readonly name: string;
  readonly bytesDone: number | null;
  readonly bytesTotal: number | null;
}

/** Something the user should know that is no failure: an unproved hash, a stale cache served while the server is down. */
export interface FetchNotice {
  readonly type: "notice";
  readonly code: string;
  readonly message: string;
}

/** All of them. */
export type FetchEvent = FetchProgress | FetchRetry | FetchWaiting | FetchNotice;

/** Who listens. Must not throw. */
export type FetchListener = (event: FetchEvent) => void;
