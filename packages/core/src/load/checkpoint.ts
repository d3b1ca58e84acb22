/** A loaded checkpoint: its whole tree with real tensors, and the state dict in it. */
import type { Warning } from "../manifest/checkpoint-tree.ts";
import type { CheckpointValue } from "../state-dict/checkpoint-value.ts";
import type { StateDict } from "../tensor/state-dict.ts";

/** What reading a checkpoint showed. */
export interface CheckpointReport {
  readonly weights: string;
  readonly format: string;
  readonly bytes: number;
  readonly warnings: readonly Warning[];
  readonly opaque: readonly { readonly path: string; readonly global: string; readonly dangerous: boolean }[];
}

/** See the module comment. Nothing is open any more: `close` exists for symmetry with `openCheckpoint`. */
export interface Checkpoint extends AsyncDisposable {
  readonly tree: CheckpointValue;
  /** The selected state dict; empty when the checkpoint holds none. */
  readonly stateDict: StateDict;
  /** String metadata of the file. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly format: string;
  readonly report: CheckpointReport;
  close(): Promise<void>;
}
