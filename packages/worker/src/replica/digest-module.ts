/** One number for a replica's whole state, so that replicas can be compared. */
import { digestStateDict, type Module } from "@rankcast/core";

/** SHA-256 (hex) over the names, dtypes, shapes and bytes of the model's state dict. */
export function digestModule(model: Module): string {
  return digestStateDict(model.stateDict());
}
