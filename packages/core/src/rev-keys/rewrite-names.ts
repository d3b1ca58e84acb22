/** Applies one rule after the other to a list of names, and stops when it takes too long. */
import { StateDictError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import type { LimitName, Limits } from "../limits/limits.ts";
import { runBounded, TimeUp } from "./bounded-run.ts";
import type { CompiledRevKeys, CompiledRule, RevKeyLimits } from "./compile-rev-keys.ts";
import { RunawayPattern, type StepBudget } from "./match-program.ts";

/** Milliseconds from a fixed point in the past. */
export type Clock = () => number;

/** Keys between two looks at the clock. A literal rule cannot take long; one key of the others may take tens of milliseconds. */
const KEYS_PER_LOOK = { literal: 4096, v8: 16, matcher: 16, regexp: 1 } as const;
/** A watched slice of keys ends by itself after this; it exists only because starting the watchdog for every key would cost too much. */
const SLICE_MS = 50;

/** Rewrites names; one instance is one rewrite of one set of keys, with one deadline. */
export class NameRewriter {
  readonly #limits: RevKeyLimits;
  readonly #now: Clock;
  readonly #deadline: number;
  readonly #budget: StepBudget = { left: 0 };

  constructor({ limits }: CompiledRevKeys, now: Clock) {
    this.#limits = limits;
    this.#now = now;
    this.#deadline = now() + limits.revKeysMs;
  }

  /**
   * Rewrites all names in place.
   * @throws {StateDictError} RANKCAST_REV_KEY_RUNAWAY when a key takes more than `revKeySteps` (or `revKeyMs` with a RegExp), or all of them
   * more than `revKeysMs`.
   * @throws {FormatError} RANKCAST_LIMIT when a name grows above `tensorNameBytes`.
   */
  apply(rule: CompiledRule, names: string[]): void {
    if (rule.form === "regexp") {
      this.#applyWatched(rule, names);
      return;
    }
    const mask = KEYS_PER_LOOK[rule.form] - 1;
    for (let at = 0; at < names.length; at += 1) {
      if ((at & mask) === 0) this.#look(rule, names[at] as string, this.#deadline);
      names[at] = this.#rewrite(rule, names[at] as string);
    }
  }

  #rewrite(rule: CompiledRule, name: string): string {
    this.#budget.left = this.#limits.revKeySteps;
    try {
      const renamed = rule.rewrite(name, this.#budget);
      if (renamed.length > name.length)
        enforceLimit(this.#limits as Limits, "tensorNameBytes", renamed.length, `rule ${rule.index + 1} of revKeys`);
      return renamed;
    } catch (error) {
      if (error instanceof RunawayPattern) throw this.#runaway(rule, name, "revKeySteps");
      throw error;
    }
  }

  /** In slices under V8's watchdog, because nothing else stops a RegExp. */
  #applyWatched(rule: CompiledRule, names: string[]): void {
    for (let at = 0; at < names.length; ) {
      this.#look(rule, names[at] as string, this.#deadline);
      const end = Math.min(this.#now() + SLICE_MS, this.#deadline);
      try {
        runBounded(() => {
          do {
            names[at] = this.#rewrite(rule, names[at] as string);
            at += 1;
          } while (at < names.length && this.#now() < end);
        }, SLICE_MS + this.#limits.revKeyMs);
      } catch (error) {
        if (error instanceof TimeUp) throw this.#runaway(rule, names[at] ?? "", "revKeyMs");
        throw error;
      }
    }
  }

  #look(rule: CompiledRule, name: string, deadline: number): void {
    if (this.#now() > deadline) throw this.#runaway(rule, name, "revKeysMs");
  }

  #runaway({ index, shown }: CompiledRule, key: string, limit: LimitName & keyof RevKeyLimits): StateDictError {
    const what = limit === "revKeysMs" ? "renaming all keys was stopped at" : "matching was stopped at";
    return new StateDictError(
      "RANKCAST_REV_KEY_RUNAWAY",
      `rule ${index + 1} of revKeys, pattern ${shown}: ${what} key ${quote(key)}: more than the limit ${limit} = ${this.#limits[limit]}`,
      { details: { rule: index, pattern: shown, key, limit, allowed: this.#limits[limit] } },
    );
  }
}
