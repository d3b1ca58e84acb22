/** A launch while it runs: executes what the supervisor asks for, and tells it what happened. */
import { createServer } from "node:net";
import type { Writable } from "node:stream";
import { launchError } from "./launch-error.ts";
import type { LaunchEvent, LaunchedRank } from "./launch-event.ts";
import type { CompiledLaunchOptions, LaunchOptions, SpawnAttempt, SpawnSettings } from "./launch-options.ts";
import type { LogTree, RankFiles } from "./log-tree.ts";
import { planRankOutput } from "./rank-output.ts";
import { failureOf, monotonicMs, type RankExit, type RankProcess, startRank } from "./rank-process.ts";
import { type AttemptPlacement, firstRankOf, rankVariables, worldSizeOf } from "./rank-variables.ts";
import {
  createSupervisorState,
  type LaunchOutcome,
  type SupervisorEvent,
  type SupervisorInstruction,
  type SupervisorState,
  stepSupervisor,
} from "./supervisor-state.ts";
import type { Warden } from "./warden.ts";

/** What a launch that succeeded gives. */
export interface LaunchResult {
  readonly runId: string;
  /** By local rank; all 0. */
  readonly exitCodes: readonly number[];
  /** How often all ranks were restarted. */
  readonly restarts: number;
  readonly durationMs: number;
  /** Folder of the log files; null when none are kept. */
  readonly logDir: string | null;
}

/** What a run needs from its surroundings. */
export interface RunContext {
  readonly options: LaunchOptions;
  readonly compiled: CompiledLaunchOptions;
  readonly runId: string;
  readonly directory: string;
  readonly logs: LogTree;
  readonly warden: Warden;
  readonly inherited: Readonly<Record<string, string | undefined>>;
}

/** One launch. */
export class LaunchRun {
  readonly #context: RunContext;
  readonly #startedMs = monotonicMs();
  /** Epochs of launchers that follow each other grow with the clock, 1024 attempts a second. */
  readonly #firstEpoch = Math.floor(Date.now() / 1000) * 1024;
  readonly #processes = new Map<number, RankProcess>();
  #state: SupervisorState;
  #timer: NodeJS.Timeout | undefined;
  #stoppedMs: number | null = null;
  /** Aborted when the ranks of the attempt are to end, whether they are there or not. */
  #stopping = new AbortController();
  #cleared: Promise<void>[] = [];
  readonly #finished: Promise<LaunchOutcome>;
  #finish: (outcome: LaunchOutcome) => void = () => {};
  #fail: (error: unknown) => void = () => {};

  constructor(context: RunContext) {
    this.#context = context;
    const { nprocPerNode, maxRestarts, graceMs } = context.compiled;
    this.#state = createSupervisorState({ processCount: nprocPerNode, maxRestarts, graceMs });
    this.#finished = new Promise((resolve, reject) => {
      this.#finish = resolve;
      this.#fail = reject;
    });
  }

  /**
   * Runs all attempts.
   * @throws {CheckpointError} the first failure, or RANKCAST_INTERRUPTED or RANKCAST_CANCELLED.
   */
  async run(): Promise<LaunchResult> {
    const { runId, logs, options } = this.#context;
    void this.#attempt();
    const outcome = await this.#finished.finally(() => this.#end());
    if (outcome.type !== "success") throw launchError(outcome, options.script, options.signal?.reason);
    return {
      runId,
      exitCodes: Array.from({ length: this.#state.processCount }, () => 0),
      restarts: this.#state.attempt,
      durationMs: monotonicMs() - this.#startedMs,
      logDir: logs.kept ? logs.directory : null,
    };
  }

  /** Tells the run that it should end. */
  interrupt(signal: NodeJS.Signals, by: "signal" | "caller"): void {
    this.#play({ type: "interrupt", nowMs: monotonicMs(), signal, by });
  }

  /** Starts the ranks of the current attempt, unless it was stopped before they were there. */
  async #attempt(): Promise<void> {
    const { attempt } = this.#state;
    this.#stoppedMs = null;
    this.#stopping = new AbortController();
    try {
      const told = this.#describe(attempt);
      const settings = (await this.#context.options.beforeSpawn?.(told)) ?? {};
      if (this.#state.stopping === null) await this.#start(await this.#place(told, settings), settings);
      this.#skipMissing();
    } catch (error) {
      // Whoever was asked to end while it waited for others has nothing to report.
      if (this.#state.stopping === null) this.#fail(error);
      else this.#skipMissing();
    }
  }

  /** Ranks that were never started have ended. */
  #skipMissing(): void {
    for (let localRank = 0; localRank < this.#state.processCount; localRank += 1) {
      if (!this.#processes.has(localRank)) this.#play({ type: "exited", nowMs: monotonicMs(), localRank, failure: null });
    }
  }

  async #place(told: SpawnAttempt, settings: SpawnSettings): Promise<AttemptPlacement> {
    const { compiled } = this.#context;
    const { nprocPerNode, nodeCount, masterAddr, masterPort } = compiled;
    return {
      attempt: told.attempt,
      epoch: settings.epoch ?? told.epoch,
      runId: told.runId,
      nodeRank: settings.nodeRank ?? compiled.nodeRank ?? 0,
      localWorldSizes: settings.localWorldSizes ?? Array.from({ length: nodeCount }, () => nprocPerNode),
      masterAddr: settings.masterAddr ?? masterAddr,
      masterPort: masterPort === 0 ? await findFreePort() : masterPort,
    };
  }

  async #start(placement: AttemptPlacement, settings: SpawnSettings): Promise<void> {
    const { attempt, epoch } = placement;
    this.#emit({ type: "starting", attempt, epoch, worldSize: worldSizeOf(placement) });
    for (let localRank = 0; localRank < this.#state.processCount; localRank += 1) this.#startRank(placement, settings, localRank);
    const { stop } = settings;
    const onStop = () => {
      if (this.#state.attempt !== attempt) return;
      const error = stop?.reason instanceof Error ? stop.reason : new Error(String(stop?.reason));
      this.#play({ type: "stop", nowMs: monotonicMs(), error });
    };
    stop?.addEventListener("abort", onStop, { once: true });
    if (stop?.aborted === true) onStop();
  }

  #startRank(placement: AttemptPlacement, settings: SpawnSettings, localRank: number): void {
    const { compiled, logs, inherited, warden, options } = this.#context;
    const files = logs.filesOf(placement.attempt, localRank);
    const rank = firstRankOf(placement) + localRank;
    const output = planRankOutput(
      {
        compiled,
        output: options.output ?? "inherit",
        emit: (event) => this.#emit(event),
        prefixTemplate: inherited["TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE"] || undefined,
        isColoured: (stream) => isTerminal(stream) && !inherited["NO_COLOR"],
      },
      files,
      localRank,
      rank,
    );
    const env = {
      ...(compiled.nprocPerNode > 1 ? { OMP_NUM_THREADS: "1" } : {}),
      ...inherited,
      ...compiled.env,
      ...settings.env,
      ...rankVariables(compiled, placement, localRank, files.error),
    };
    const started = startRank(compiled, { localRank, rank }, env, output);
    this.#processes.set(localRank, started);
    if (started.pid !== null) {
      warden.watch(started.pid);
      this.#emit({ type: "spawned", attempt: placement.attempt, rank: told(started) });
    }
    void started.exited.then((exit) => this.#exited(started, exit, files, placement, settings)).catch(this.#fail);
    this.#cleared.push(
      started.cleared.then(() => {
        if (started.pid !== null) warden.release(started.pid);
      }),
    );
  }

  async #exited(
    process_: RankProcess,
    exit: RankExit,
    files: RankFiles,
    { attempt, nodeRank }: AttemptPlacement,
    settings: SpawnSettings,
  ): Promise<void> {
    const lostRank = settings.lostRank?.() ?? null;
    const failure = failureOf(process_, exit, files, { nodeRank, stoppedMs: this.#stoppedMs, lostRank });
    const { exitCode, signal } = exit;
    this.#emit({ type: "exited", attempt, rank: told(process_), exitCode, signal, stopped: this.#stoppedMs !== null && failure === null });
    if (failure !== null) this.#emit({ type: "failed", attempt, failure });
    const { running, stopping } = this.#state;
    if (failure === null && stopping === null && running.size === 1 && settings.confirm) await this.#unlessStopped(settings.confirm());
    this.#play({ type: "exited", nowMs: monotonicMs(), localRank: process_.localRank, failure });
  }

  /** Resolves with `promise`, or when the attempt is to end. */
  #unlessStopped(promise: Promise<void>): Promise<void> {
    const { signal } = this.#stopping;
    if (signal.aborted) return Promise.resolve();
    const stopped = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    return Promise.race([promise, stopped]);
  }

  #play(event: SupervisorEvent): void {
    const { state, instructions } = stepSupervisor(this.#state, event);
    this.#state = state;
    for (const instruction of instructions) this.#follow(instruction);
  }

  #follow(instruction: SupervisorInstruction): void {
    switch (instruction.type) {
      case "signal": {
        const { signal, localRanks } = instruction;
        this.#stoppedMs ??= monotonicMs();
        this.#stopping.abort();
        this.#emit({ type: "stopping", attempt: this.#state.attempt, signal, localRanks });
        for (const localRank of localRanks) this.#processes.get(localRank)?.signal(signal);
        break;
      }
      case "setTimer":
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#play({ type: "timer", nowMs: monotonicMs() }), Math.max(0, instruction.dueMs - monotonicMs()));
        break;
      case "start":
        this.#emit({
          type: "restarting",
          attempt: instruction.attempt,
          restartsLeft: this.#state.maxRestarts - instruction.attempt,
          cause: instruction.cause,
        });
        void this.#clear(instruction.attempt - 1).then(() => this.#attempt(), this.#fail);
        break;
      case "finish":
        void this.#clear(this.#state.attempt).then(() => this.#finish(instruction.outcome), this.#fail);
        break;
    }
  }

  /** Waits until nothing of an attempt is left. */
  async #clear(attempt: number): Promise<void> {
    clearTimeout(this.#timer);
    const cleared = this.#cleared;
    this.#cleared = [];
    await Promise.all(cleared);
    this.#processes.clear();
    await this.#context.options.afterAttempt?.(this.#describe(attempt));
  }

  #describe(attempt: number): SpawnAttempt {
    const { runId, directory } = this.#context;
    return { attempt, epoch: this.#firstEpoch + attempt, runId, directory, signal: this.#stopping.signal };
  }

  /** Whatever went wrong here, no rank is left. */
  async #end(): Promise<void> {
    clearTimeout(this.#timer);
    for (const process_ of this.#processes.values()) process_.signal("SIGKILL");
    await Promise.all(this.#cleared);
  }

  /** A listener that throws ends the launch with its error: it may be the one that was to start the coordinator's part. */
  #emit(event: LaunchEvent): void {
    try {
      this.#context.options.onEvent?.(event);
    } catch (error) {
      this.#fail(error);
    }
  }
}

function told({ rank, localRank, pid }: RankProcess): LaunchedRank {
  return { rank, localRank, pid: pid ?? 0 };
}

function isTerminal(stream: Writable): boolean {
  return "isTTY" in stream && stream.isTTY === true;
}

/** A port that was free a moment ago, as torchrun's --standalone finds it. */
function findFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (typeof address === "object" && address !== null ? resolve(address.port) : reject(new Error("no port"))));
    });
  });
}
