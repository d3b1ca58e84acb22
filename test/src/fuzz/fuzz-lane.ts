/** What a fuzzing thread and the run that started it tell each other. */

/** What a thread is started with. */
export interface LaneOrder {
  readonly runSeed: number;
  /** This thread makes the inputs `first`, `first + step`, ... below `end`; negative ones are seeds as they are. */
  readonly first: number;
  readonly step: number;
  readonly end: number;
  readonly reader: string | undefined;
  /** Whether inputs of a new kind are sent back. */
  readonly grow: boolean;
  /** A `LaneSlots` of three float64. */
  readonly slots: SharedArrayBuffer;
}

/** An input that must not be, or one of a new kind. */
export interface LaneFinding {
  readonly type: "failure" | "novel";
  readonly index: number;
  readonly reader: string;
  readonly seed: string;
  /** The failure, or the new kind. */
  readonly text: string;
  readonly entry: string;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Counts of a thread that has ended by itself. */
export interface LaneDone {
  readonly type: "done";
}

/** Positions in a thread's slots: the input at work, when it began (ms since the epoch), whether to stop. */
export const SLOT_INDEX = 0;
export const SLOT_BEGAN = 1;
export const SLOT_STOP = 2;
/** From here on: inputs done per reader, in the order of `InputMaker.readers`. */
export const SLOT_COUNTS = 3;
/** Slots of one thread. */
export const SLOTS = SLOT_COUNTS + 32;
