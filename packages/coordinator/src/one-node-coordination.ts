/** The coordinator of a job of one node: in the launcher's process, a new one for every attempt. */
import { type AttemptCoordination, AttemptRecord, leadTo, socketOf } from "./attempt-coordination.ts";
import type { SpawnAttempt, SpawnSettings } from "./launch/launch-options.ts";
import type { CoordinatorEvent } from "./node/node-coordinator.ts";
import { type Coordinator, startCoordinator } from "./start-coordinator.ts";

/** How to coordinate. */
export interface OneNodeOptions {
  readonly worldSize: number;
  readonly barrierTimeoutMs?: number | undefined;
  readonly onEvent?: ((event: CoordinatorEvent) => void) | undefined;
}

/** See the module comment. */
export class OneNodeCoordination implements AttemptCoordination {
  said = new AttemptRecord();
  readonly #options: OneNodeOptions;
  #coordinator: Coordinator | null = null;

  constructor(options: OneNodeOptions) {
    this.#options = options;
  }

  async begin(attempt: SpawnAttempt): Promise<SpawnSettings> {
    this.said = new AttemptRecord();
    const { worldSize, barrierTimeoutMs, onEvent } = this.#options;
    this.#coordinator = await startCoordinator({
      worldSize,
      jobId: attempt.runId,
      epoch: attempt.attempt,
      address: socketOf(attempt),
      ...(barrierTimeoutMs === undefined ? {} : { barrierTimeoutMs }),
      onEvent: (event) => {
        this.said.take(event);
        onEvent?.(event);
      },
    });
    return { env: leadTo(this.#coordinator.address, this.#coordinator.token, attempt), lostRank: () => this.said.lostRank };
  }

  async end(): Promise<void> {
    await this.#coordinator?.close();
    this.#coordinator = null;
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
