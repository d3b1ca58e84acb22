/** What `rankcast load` asks of each rank. Travels in a 0600 file, because options may hold secrets and argv is public. */
import { readFileSync, writeFileSync } from "node:fs";
import type { GroupLoadOptions } from "@rankcast/worker";

/** Plain data. */
export interface LoadRequest {
  readonly weights: string;
  readonly options: GroupLoadOptions;
  /** 0: the replica lives in the rank's main thread. */
  readonly replicasPerRank: number;
  /** URL of the replica module; null builds replicas from the checkpoint. */
  readonly model: string | null;
  /** Weight updates from rank 0 after the load. */
  readonly updates: number;
}

/** Name of the variable that says where the request is. */
export const LOAD_REQUEST_VARIABLE = "RANKCAST_LOAD_REQUEST";

/** Writes the request so that only this user can read it. */
export function writeLoadRequest(path: string, request: LoadRequest): void {
  writeFileSync(path, JSON.stringify(request), { mode: 0o600 });
}

/** Reads what `writeLoadRequest` wrote. */
export function readLoadRequest(path: string): LoadRequest {
  return JSON.parse(readFileSync(path, "utf8")) as LoadRequest;
}
