/** What really happened in a simulated run, and the invariants it must keep. Knows nothing of the machine's state. */
import type { ArrivalMessage, BarrierDecision, BarrierEvent } from "@rankcast/core/internal";

/** A broken invariant. */
export class Violation extends Error {}

interface Round {
  readonly key: string;
  readonly epoch: number;
  /** `rank#incarnation` of the processes that said "ok" for this generation, whether it was delivered or not. */
  readonly came: Set<string>;
  /** Ranks that brought a failure. */
  readonly brought: Set<number>;
  /** Ranks whose arrival reached the coordinator and was not refused. */
  readonly counted: Set<number>;
  decision: BarrierDecision | null;
  passed: boolean;
  failed: boolean;
}

/** Bookkeeping of one run. Every method throws a Violation that names the invariant. */
export class Ledger {
  passes = 0;
  unknowns = 0;
  readonly failures = new Map<string, number>();
  readonly #rounds = new Map<string, Round>();
  /** Ranks that were ever killed, frozen, left or replaced, by epoch. */
  readonly #suspects = new Map<number, Set<number>>();
  readonly #aborted = new Set<number>();
  readonly #coordinatorFailed = new Set<number>();
  /** `epoch/rank` to the incarnation that is in. */
  readonly #current = new Map<string, number>();
  /** `epoch/rank` of those that are known to be gone. */
  readonly #gone = new Set<string>();
  /** Generations somebody waits at. */
  readonly #undecided = new Set<Round>();
  readonly #lastSign = new Map<string, number>();

  /** A process sent an arrival. */
  sent({ epoch, name, generation, rank, incarnation, outcome }: ArrivalMessage): void {
    const round = this.#round(epoch, name, generation);
    if (outcome.type === "ok") round.came.add(`${rank}#${incarnation}`);
    else round.brought.add(rank);
  }

  /** Something happened to a process that may make others fail. */
  suspect(epoch: number, rank: number): void {
    const suspects = this.#suspects.get(epoch) ?? new Set();
    this.#suspects.set(epoch, suspects.add(rank));
  }

  /** An event is about to be given to the coordinator of `epoch`. */
  delivering(epoch: number, event: BarrierEvent): void {
    if (event.type === "abort") this.#aborted.add(epoch);
    if (event.type === "fail") this.#coordinatorFailed.add(epoch);
  }

  /** The coordinator took an event: it neither refused it nor answered it from its records. */
  taken(epoch: number, event: BarrierEvent): void {
    if (event.type === "timer" || event.type === "abort" || event.type === "reset" || event.type === "fail") return;
    const key = `${epoch}/${event.rank}`;
    if (event.type === "leave" || (event.type === "loss" && event.incarnation === this.#current.get(key))) this.#gone.add(key);
    if (event.type === "leave" || event.type === "loss") return;
    this.#lastSign.set(key, event.nowMs);
    if (event.type === "join") {
      this.#current.set(key, event.incarnation);
      this.#gone.delete(key);
    } else if (event.type === "arrive") {
      const round = this.#round(epoch, event.name, event.generation);
      if (round.decision !== null) return;
      round.counted.add(event.rank);
      this.#undecided.add(round);
    }
  }

  /** All instructions of an event have been followed: nobody may wait for somebody who is gone. */
  checkWaiting(epoch: number, worldSize: number): void {
    for (const round of this.#undecided) {
      if (round.epoch !== epoch) continue;
      for (let rank = 0; rank < worldSize; rank += 1) {
        if (this.#gone.has(`${epoch}/${rank}`)) throw new Violation(`I9: ${round.key} waits although rank ${rank} is gone`);
      }
    }
  }

  /** The coordinator decided. */
  decided(decision: BarrierDecision, nowMs: number): void {
    const round = this.#round(decision.epoch, decision.name, decision.generation);
    if (round.decision !== null) throw new Violation(`I2: ${round.key} was decided twice`);
    round.decision = decision;
    this.#undecided.delete(round);
    const participants = decision.participants;
    if (decision.outcome === "pass") {
      this.passes += 1;
      if (this.#aborted.has(decision.epoch)) throw new Violation(`I10: ${round.key} passed after an abort`);
      return;
    }
    this.failures.set(decision.cause.kind, (this.failures.get(decision.cause.kind) ?? 0) + 1);
    const wrong = decision.missing.ranks.filter((rank) => round.counted.has(rank));
    if (wrong.length > 0) throw new Violation(`I11: ${round.key} names ${wrong.join()} as missing, which had arrived`);
    if (participants?.some((rank) => !round.counted.has(rank) && !decision.missing.ranks.includes(rank))) {
      throw new Violation(`I11: ${round.key} does not name all missing ranks`);
    }
    this.#checkBlame(round, decision, nowMs);
  }

  /** All ranks, when everybody takes part, must have come before a pass. */
  checkPass(decision: BarrierDecision, worldSize: number): void {
    if (decision.outcome !== "pass") return;
    const round = this.#round(decision.epoch, decision.name, decision.generation);
    const ranks = decision.participants ?? Array.from({ length: worldSize }, (_, rank) => rank);
    const early = ranks.filter((rank) => !round.came.has(`${rank}#${this.#current.get(`${decision.epoch}/${rank}`)}`));
    if (early.length > 0) throw new Violation(`I1: ${round.key} passed before ${early.join()} arrived`);
  }

  /** The coordinator answered with a recorded decision. */
  replied(decision: BarrierDecision): void {
    const { decision: made, key } = this.#round(decision.epoch, decision.name, decision.generation);
    if (made === null) throw new Violation(`I2: ${key} was answered without a decision`);
    const same = made.outcome === decision.outcome && made.sequence === decision.sequence && causeOf(made) === causeOf(decision);
    if (!same) throw new Violation(`I2: the answer about ${key} is not what was decided`);
  }

  /** A call returned in a process. */
  returned(decision: BarrierDecision): void {
    const round = this.#round(decision.epoch, decision.name, decision.generation);
    if (decision.outcome === "pass") round.passed = true;
    else round.failed = true;
    if (round.passed && round.failed) throw new Violation(`I3: ${round.key} passed for one rank and failed for another`);
  }

  #checkBlame(round: Round, decision: Extract<BarrierDecision, { outcome: "fail" }>, nowMs: number): void {
    const { cause } = decision;
    const suspects = this.#suspects.get(decision.epoch);
    const innocent = (rank: number) => suspects?.has(rank) !== true;
    if (cause.kind === "loss" && cause.lost.ranks.some(innocent)) throw new Violation(`I11: ${round.key} blames a rank that lives`);
    if (cause.kind === "left" && cause.left.ranks.some(innocent)) throw new Violation(`I11: ${round.key} blames a rank that stayed`);
    if (cause.kind === "restart" && innocent(cause.member.rank))
      throw new Violation(`I11: ${round.key} blames a rank that was not restarted`);
    if (cause.kind === "failed") {
      const known = cause.member === null ? this.#coordinatorFailed.has(decision.epoch) : round.brought.has(cause.member.rank);
      if (!known) throw new Violation(`I11: ${round.key} blames one without failure`);
    }
    if (cause.kind !== "timeout") return;
    const silentSince = (rank: number) => Math.max(decision.openedMs, this.#lastSign.get(`${decision.epoch}/${rank}`) ?? 0);
    const early = cause.stalled.ranks.filter((rank) => silentSince(rank) + cause.timeoutMs > nowMs);
    if (early.length > 0) throw new Violation(`I4: ${round.key} gave ${early.join()} too little time`);
  }

  #round(epoch: number, name: string, generation: number): Round {
    const key = `${epoch}/${name}.${generation}`;
    let round = this.#rounds.get(key);
    if (round === undefined) {
      round = { key, epoch, came: new Set(), brought: new Set(), counted: new Set(), decision: null, passed: false, failed: false };
      this.#rounds.set(key, round);
    }
    return round;
  }
}

function causeOf(decision: BarrierDecision): string {
  return decision.outcome === "pass" ? "" : JSON.stringify(decision.cause);
}
