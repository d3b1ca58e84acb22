/** What `overlap` loads. */

/** Equal tensors of a checkpoint. */
export const OVERLAP_TENSORS = 32;

/** A way to load: which file, and what is done with it. */
export interface OverlapKind {
  readonly name: string;
  /** Element type of the file. */
  readonly dtype: "float32" | "bfloat16";
  /** The kind that takes the same file without a copy. */
  readonly adopt: string;
}

/** `cast`: bfloat16 into float32 parameters that have memory; `fresh`: new memory for every tensor; `plain`: float32 into parameters that have memory. */
export const OVERLAP_KINDS: readonly OverlapKind[] = [
  { name: "cast", dtype: "bfloat16", adopt: "adopt-half" },
  { name: "fresh", dtype: "float32", adopt: "adopt" },
  { name: "plain", dtype: "float32", adopt: "adopt" },
];
