/** A count of structural changes of all modules of this thread: what was derived from a module tree holds while it stands still. */

let epoch = 0;

/** Called by every registration and removal. */
export function bumpStructureEpoch(): void {
  epoch += 1;
}

/** The count now. */
export function structureEpoch(): number {
  return epoch;
}
