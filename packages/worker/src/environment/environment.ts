/** The only reader of `process.env` in this package (law L7). */
import { readEnvironment } from "@rankcast/core/runtime";

/** What a rank takes from its environment. */
export interface RankEnvironment {
  /** All variables, for detecting the launcher. */
  readonly variables: { readonly [name: string]: string | undefined };
  /** `RANKCAST_COORDINATOR`: address of the node's coordinator. */
  readonly coordinator: string | undefined;
  /** `RANKCAST_TOKEN_FILE`: 0600 file with the job's token. */
  readonly tokenFile: string | undefined;
  /** `XDG_RUNTIME_DIR`: where sockets of this user belong. */
  readonly runtimeDirectory: string | undefined;
  /** `RANKCAST_NO_MMAP`: do as if nothing could be mapped. */
  readonly noMmap: boolean;
}

/** Reads the environment once; tests pass their own variables. */
export function readRankEnvironment(variables: { readonly [name: string]: string | undefined } = process.env): RankEnvironment {
  const text = (name: string): string | undefined => (variables[name] === "" ? undefined : variables[name]);
  return {
    variables,
    coordinator: text("RANKCAST_COORDINATOR"),
    tokenFile: text("RANKCAST_TOKEN_FILE"),
    runtimeDirectory: text("XDG_RUNTIME_DIR"),
    noMmap: readEnvironment(variables).noMmap,
  };
}
