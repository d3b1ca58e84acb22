/** What a pool asks of a replica's thread and what comes back. Crosses threads by structured clone. */
import type { ReplicaReport } from "@rankcast/core";
import type { ErrorRecord } from "@rankcast/core/runtime";
import type { ReplicaContext } from "../replica/replica-context.ts";
import type { Delivery, ExportedTensor, KeptSet, ReplicaFacts, ReplicaLoadOptions } from "../replica/replica-host.ts";

/** One thing to do. Tasks of one thread run one after the other. */
export type ThreadTask =
  | { readonly type: "start"; readonly noMmap: boolean; readonly module: string | null; readonly context: ReplicaContext }
  | { readonly type: "prepare"; readonly delivery: Delivery; readonly options: ReplicaLoadOptions }
  | { readonly type: "commit" }
  | { readonly type: "swap"; readonly kept: KeptSet; readonly options: ReplicaLoadOptions }
  | { readonly type: "rollBack" }
  | { readonly type: "own" }
  | { readonly type: "discard" }
  | { readonly type: "facts"; readonly digest: boolean }
  | { readonly type: "state" }
  | { readonly type: "call"; readonly name: string; readonly args: unknown };

/** What each task gives. */
export interface ThreadValues {
  readonly start: null;
  readonly prepare: null;
  readonly commit: ReplicaReport;
  readonly swap: ReplicaReport | null;
  readonly rollBack: null;
  readonly own: null;
  readonly discard: null;
  readonly facts: ReplicaFacts;
  readonly state: readonly ExportedTensor[];
  readonly call: unknown;
}

/** A result or an error with its code and fields: a plain rejection would lose them between threads. */
export type ThreadResult = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: ErrorRecord };
