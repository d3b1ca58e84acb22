/**
 * Barriers of one node, driven. The machine in core decides; this file turns messages into events and instructions into calls, and owns the
 * clock and the timer.
 */
import {
  type ArrivalOutcome,
  type BarrierDecision,
  type BarrierEvent,
  type BarrierInstruction,
  BarrierRun,
  createBarrierState,
  decisionError,
  type ErrorRecord,
  type FailDecision,
  toErrorRecord,
} from "@rankcast/core/runtime";
import type { Arrive, Hello } from "../grpc/coordination-server.ts";
import { placeOf } from "./root-cause.ts";

/** The outcome of one barrier generation. */
export interface BoardDecision {
  readonly barrier: string;
  readonly generation: number;
  /** The first failure, with `details.rootCause`; null when passed. */
  readonly cause: ErrorRecord | null;
  /** What the ranks brought, by rank. */
  readonly payloads: ReadonlyMap<number, unknown>;
  /** The one rank that asked again, or null: everyone. */
  readonly onlyRank: number | null;
}

/** What the owner of the board gives and hears. */
export interface BoardHost {
  readonly epoch: number;
  readonly worldSize: number;
  /** How long a missing rank may show no progress, unless an arrival says otherwise. */
  readonly timeoutMs: number;
  now(): number;
  onDecision(decision: BoardDecision): void;
  /** Nothing can pass any more. */
  onAborted(cause: ErrorRecord): void;
  /** A rank's message was not taken: it is not the member it thinks it is. */
  onRefused(rank: number, reason: string): void;
}

/** See the module comment. */
export class BarrierBoard {
  readonly #host: BoardHost;
  readonly #incarnations = new Map<number, number>();
  readonly #payloads = new Map<string, Map<number, unknown>>();
  readonly #run: BarrierRun;
  /** The first reason why nothing can pass any more. */
  #abortCause: ErrorRecord | null = null;
  #timer: NodeJS.Timeout | undefined;

  constructor(host: BoardHost) {
    this.#host = host;
    this.#run = new BarrierRun(createBarrierState({ epoch: host.epoch, worldSize: host.worldSize }));
  }

  /** A rank's process has joined. */
  join(hello: Hello): void {
    const incarnation = (this.#incarnations.get(hello.rank) ?? 0) + 1;
    this.#incarnations.set(hello.rank, incarnation);
    this.#step({ type: "join", nowMs: this.#host.now(), epoch: this.#host.epoch, rank: hello.rank, incarnation, place: placeOf(hello) });
  }

  /** A rank said goodbye. */
  leave(rank: number): void {
    this.#step({ type: "leave", nowMs: this.#host.now(), epoch: this.#host.epoch, rank, incarnation: this.#incarnation(rank) });
  }

  /** A rank is gone: what is open fails at once, and so does everything later. */
  lose(rank: number, reason: string, error: ErrorRecord): void {
    // The abort first: it gives every open barrier, and every rank that is at none, the same error.
    this.abort(rank, error);
    this.#step({
      type: "loss",
      nowMs: this.#host.now(),
      epoch: this.#host.epoch,
      rank,
      incarnation: this.#incarnation(rank),
      loss: "disconnected",
      reason,
    });
  }

  /** Nothing may pass any more; the first cause stays the cause. */
  abort(rank: number | null, error: ErrorRecord): void {
    this.#abortCause ??= error;
    this.#step({ type: "abort", nowMs: this.#host.now(), epoch: this.#host.epoch, rank, error });
  }

  /** A rank is busy with something; extends the time others wait for it. */
  progress(rank: number, phase: string): void {
    this.#step({ type: "progress", nowMs: this.#host.now(), epoch: this.#host.epoch, rank, incarnation: this.#incarnation(rank), phase });
  }

  /** A rank stands at a barrier. */
  arrive(rank: number, arrival: Arrive): void {
    if (arrival.payload !== undefined) {
      const key = `${arrival.generation} ${arrival.barrier}`;
      const payloads = this.#payloads.get(key) ?? new Map<number, unknown>();
      this.#payloads.set(key, payloads.set(rank, arrival.payload));
    }
    const { failure } = arrival;
    const outcome: ArrivalOutcome = failure
      ? { type: "failed", error: (failure.record as ErrorRecord | undefined) ?? { name: "Error", message: failure.message } }
      : { type: "ok" };
    this.#arrive(rank, arrival.barrier, arrival.generation, arrival.digest, arrival.timeoutMs ?? this.#host.timeoutMs, outcome);
  }

  /** Fails the open (or next) generation of a barrier for a reason of the coordinator's own, whoever has arrived. */
  fail(name: string, error: ErrorRecord): void {
    this.#step({ type: "fail", nowMs: this.#host.now(), epoch: this.#host.epoch, name, generation: null, error });
  }

  /** Stops the timer. */
  close(): void {
    clearTimeout(this.#timer);
  }

  #arrive(rank: number, name: string, generation: number, digest: string, timeoutMs: number, outcome: ArrivalOutcome): void {
    const { epoch } = this.#host;
    const incarnation = this.#incarnation(rank);
    this.#step({
      type: "arrive",
      nowMs: this.#host.now(),
      epoch,
      rank,
      incarnation,
      name,
      generation,
      digest,
      participants: null,
      timeoutMs,
      outcome,
    });
  }

  #incarnation(rank: number): number {
    return this.#incarnations.get(rank) ?? 0;
  }

  #step(event: BarrierEvent): void {
    for (const instruction of this.#run.step(event)) this.#perform(instruction);
  }

  #perform(instruction: BarrierInstruction): void {
    switch (instruction.type) {
      case "decide":
        this.#decide(instruction.decision, null);
        return;
      case "reply":
        this.#decide(instruction.decision, instruction.rank);
        return;
      case "aborted":
        if (this.#abortCause) this.#host.onAborted(this.#abortCause);
        return;
      case "refuse":
        this.#host.onRefused(instruction.rank, instruction.reason);
        return;
      case "fence":
        this.#host.onRefused(instruction.rank, "another process has taken this rank");
        return;
      case "setTimer":
        clearTimeout(this.#timer);
        this.#timer = setTimeout(
          () => this.#step({ type: "timer", nowMs: this.#host.now() }),
          Math.min(Math.max(instruction.dueMs - this.#host.now(), 0) + 1, TIMER_MS_MAX),
        );
        this.#timer.unref();
        return;
      case "clearTimer":
        clearTimeout(this.#timer);
        return;
      case "admit":
      case "stop":
        // Admission needs no message of its own (the welcome says it); one coordinator serves one epoch, so nothing supersedes it.
        return;
    }
  }

  #decide(decision: BarrierDecision, onlyRank: number | null): void {
    const key = `${decision.generation} ${decision.name}`;
    const payloads = this.#payloads.get(key) ?? new Map<number, unknown>();
    if (onlyRank === null) this.#payloads.delete(key);
    const cause = decision.outcome === "pass" ? null : causeOf(decision);
    this.#host.onDecision({ barrier: decision.name, generation: decision.generation, cause, payloads, onlyRank });
  }
}

/** An error that already says whose it is stays as it is: the coordinator speaks for a rank, but it is not that rank's failure. */
function causeOf(decision: FailDecision): ErrorRecord {
  const { cause, missing } = decision;
  const given = cause.kind === "failed" || cause.kind === "abort" ? cause.error : undefined;
  if (given?.details?.["rootCause"] === undefined) return toErrorRecord(decisionError(decision));
  return { ...given, details: { ...given.details, missing: [...missing.ranks] } };
}

// setTimeout fires at once above 2^31 - 1 ms.
const TIMER_MS_MAX = 2 ** 31 - 1;
