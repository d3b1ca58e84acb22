/** What a pool asks of a replica's thread and what comes back. Crosses threads by structured clone. */
import type { DType, ReplicaReport } from "@rankcast/core";
import { type ErrorRecord, type OrderWish, quote } from "@rankcast/core/runtime";
import type { Foreseen } from "../replica/ahead-copies.ts";
import type { ReplicaContext } from "../replica/replica-context.ts";
import type { Delivery, ExportedTensor, KeptSet, ReplicaFacts, ReplicaLoadOptions } from "../replica/replica-host.ts";
import type { WeightsLabel } from "../replica/weights-label.ts";
import type { PackedValue } from "./pack-value.ts";

/** One thing to do. Tasks of one thread run one after the other. */
export type ThreadTask =
  | { readonly type: "boot"; readonly noMmap: boolean }
  | { readonly type: "start"; readonly noMmap: boolean; readonly module: string | null; readonly context: ReplicaContext }
  | { readonly type: "foresee"; readonly foreseen: Foreseen; readonly options: ReplicaLoadOptions }
  | { readonly type: "copyAhead"; readonly storages: readonly number[] }
  | { readonly type: "prepare"; readonly delivery: Delivery; readonly options: ReplicaLoadOptions }
  | { readonly type: "castWish"; readonly options: ReplicaLoadOptions }
  | { readonly type: "orderWish" }
  | { readonly type: "commit"; readonly label: WeightsLabel }
  | { readonly type: "swap"; readonly kept: KeptSet; readonly label: WeightsLabel }
  | { readonly type: "rollBack" }
  | { readonly type: "own" }
  | { readonly type: "discard" }
  | { readonly type: "facts"; readonly digest: boolean }
  | { readonly type: "state" }
  | { readonly type: "call"; readonly name: string; readonly args: PackedValue };

/** Stands for the report of this thread's swap before, which is the same. */
export const REPEATED = "repeated";

/** What each task gives. */
export interface ThreadValues {
  readonly boot: null;
  readonly start: null;
  readonly foresee: readonly number[];
  readonly copyAhead: null;
  readonly prepare: null;
  readonly castWish: DType | null;
  readonly orderWish: OrderWish;
  readonly commit: ReplicaReport;
  /** Null: the set is unknown. Between threads `REPEATED` may stand for it. */
  readonly swap: ReplicaReport | null;
  readonly rollBack: WeightsLabel | null;
  readonly own: null;
  readonly discard: null;
  readonly facts: ReplicaFacts;
  readonly state: readonly ExportedTensor[];
  readonly call: PackedValue;
}

/**
 * A result or an error with its code and fields: a plain rejection would lose them between threads. `thrown` is what a user's function threw, with
 * what a record cannot hold.
 */
export type ThreadResult =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: ErrorRecord; readonly thrown?: PackedValue };

/** What a thread says when an error that nobody caught ends it. */
export interface LastWords {
  readonly lastWords: PackedValue;
}

/** Whether a message of a thread is its last; user code may post messages of its own. */
export function isLastWords(message: unknown): message is LastWords {
  return typeof message === "object" && message !== null && Object.hasOwn(message, "lastWords");
}

/** A task in words, for messages. */
export function taskName(task: ThreadTask): string {
  return task.type === "call" ? `a call of ${quote(task.name)}` : TASK_NAMES[task.type];
}

const TASK_NAMES: { readonly [type in Exclude<ThreadTask["type"], "call">]: string } = {
  boot: "its boot",
  start: "its start",
  foresee: "the plan of a load",
  copyAhead: "copying ahead of a load",
  prepare: "the preparation of a load",
  castWish: "a look at its types",
  orderWish: "a look at its order",
  commit: "the commit of a load",
  swap: "a weight update",
  rollBack: "taking a load back",
  own: "keeping its weights",
  discard: "the discarding of a load",
  facts: "the report of a load",
  state: "the export of its state",
};
