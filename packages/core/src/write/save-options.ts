/** What both writers take and give back. */

/** Progress of a save, in bytes of tensors. */
export interface SaveProgress {
  readonly phase: "save";
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** Options of every writer. */
export interface SaveOptions {
  /** Stops the save; the output is then as it was before. */
  readonly signal?: AbortSignal;
  /** Called after each tensor or storage. */
  readonly onProgress?: (event: SaveProgress) => void;
}

/** What was written, and what the format could not hold (law L8). */
export interface SaveReport {
  /** Size of the file. */
  readonly bytes: number;
  /** Names that are one view of one storage: `[dropped, kept]`, recorded in the file so that readers can give both back. */
  readonly aliases: readonly (readonly [string, string])[];
  /** Names whose tensors shared bytes in memory and are separate copies in the file. */
  readonly untied: readonly (readonly string[])[];
  /** Names of values that are no tensors and were left out. */
  readonly omitted: readonly string[];
}
