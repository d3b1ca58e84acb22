/** The coordinator of a job of one node: in the launcher's process, a new one for every attempt. */
import { type AttemptCoordination, AttemptRecord, leadAhead, socketOf } from "./attempt-coordination.ts";
import type { SpawnAttempt, SpawnSettings } from "./launch/launch-options.ts";
import type { CoordinatorEvent } from "./node/coordinator-event.ts";
import type { Coordinator } from "./start-coordinator.ts";

/** How to coordinate. */
export interface OneNodeOptions {
  readonly worldSize: number;
  /** How long a rank may be stopped. */
  readonly stoppedTimeoutMs: number;
  readonly barrierTimeoutMs?: number | undefined;
  readonly onEvent?: ((event: CoordinatorEvent) => void) | undefined;
}

/** See the module comment. */
export class OneNodeCoordination implements AttemptCoordination {
  said = new AttemptRecord();
  readonly #options: OneNodeOptions;
  #coordinator: Promise<Coordinator> | null = null;
  #spawned: () => void = () => undefined;

  constructor(options: OneNodeOptions) {
    this.#options = options;
  }

  /** Ranks start at once: their own start takes longer than the coordinator's, which runs beside it. */
  async begin(attempt: SpawnAttempt): Promise<SpawnSettings> {
    this.said = new AttemptRecord();
    const stop = new AbortController();
    const lead = leadAhead(socketOf(attempt), attempt);
    const spawned = new Promise<void>((resolve) => {
      this.#spawned = resolve;
    });
    this.#coordinator = spawned.then(() => this.#start(attempt));
    this.#coordinator.then(
      ({ token }) => lead.open(token),
      (error: unknown) => stop.abort(error),
    );
    return { env: lead.env, stop: stop.signal, lostRank: () => this.said.lostRank };
  }

  starting(): void {
    // Spawning is synchronous and comes first.
    setImmediate(this.#spawned);
  }

  async end(): Promise<void> {
    this.#spawned();
    const coordinator = this.#coordinator;
    this.#coordinator = null;
    // One that did not start has ended the attempt.
    await coordinator?.then(
      (started) => started.close(),
      () => undefined,
    );
  }

  async #start(attempt: SpawnAttempt): Promise<Coordinator> {
    const { worldSize, stoppedTimeoutMs, barrierTimeoutMs, onEvent } = this.#options;
    // gRPC is most of what a launcher imports.
    const { startCoordinator } = await import("./start-coordinator.ts");
    return startCoordinator({
      worldSize,
      stoppedTimeoutMs,
      jobId: attempt.runId,
      epoch: attempt.attempt,
      address: socketOf(attempt),
      ...(barrierTimeoutMs === undefined ? {} : { barrierTimeoutMs }),
      onEvent: (event) => {
        this.said.take(event);
        onEvent?.(event);
      },
    });
  }

  rankFailed(): void {
    // The coordinator has seen its stream end.
  }

  async conclude(error: unknown): Promise<unknown> {
    return this.said.better(error);
  }

  close(): Promise<void> {
    return this.end();
  }
}
