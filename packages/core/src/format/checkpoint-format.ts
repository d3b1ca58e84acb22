/** What every format reader implements. */
import type { HeapBudget } from "../limits/heap-budget.ts";
import type { Limits } from "../limits/limits.ts";
import type { CheckpointTree } from "../manifest/checkpoint-tree.ts";
import type { ByteSource, Siblings } from "../source/byte-source.ts";

/** What a reader gets: the entry file, its first bytes, the files beside it, and the bounds. */
export interface FormatInput {
  readonly source: ByteSource;
  /** The first `min(size, 4096)` bytes; fewer of a file that is still arriving when they tell its format. */
  readonly head: Uint8Array;
  readonly siblings: Siblings;
  readonly limits: Limits;
  /** Shared by all files of the checkpoint. */
  readonly heap: HeapBudget;
  readonly signal: AbortSignal | undefined;
  /** How deep this input is nested in another checkpoint (0 = it is the file itself). */
  readonly nesting: number;
  /** The source may still be arriving, and its tree may be computed from its beginning (`CheckpointTree.arriving`). */
  readonly early?: boolean;
}

/** A way to write checkpoints. Chosen by structure, never by extension. */
export interface CheckpointFormat {
  readonly name: string;
  /** Whether the bytes have this format's structure. Cheap; may read a little more than the head. Never throws for other formats' bytes. */
  matches(input: FormatInput): boolean | Promise<boolean>;
  /**
   * Decodes everything but tensor bytes.
   * @throws {FormatError} with the class of refusal; names file, record and byte offset.
   */
  read(input: FormatInput): Promise<CheckpointTree>;
}
