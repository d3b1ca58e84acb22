/** The only reader of `process.env` in this package (law L7). */

/** What the command line takes from its environment. */
export interface TerminalEnvironment {
  /** Colours on stderr: `FORCE_COLOR` wins, then `NO_COLOR`, then whether it is a terminal. */
  readonly colour: boolean;
  /** Redraw lines in place: a terminal that is not dumb, and no `CI`. */
  readonly redraw: boolean;
  /** Columns of the terminal. */
  readonly columns: number;
}

/** Reads the environment once; tests pass their own. */
export function readTerminalEnvironment(
  stream: { readonly isTTY?: boolean; readonly columns?: number } = process.stderr,
  variables: { readonly [name: string]: string | undefined } = process.env,
): TerminalEnvironment {
  const set = (name: string): boolean => variables[name] !== undefined && variables[name] !== "";
  const terminal = stream.isTTY === true && variables["TERM"] !== "dumb";
  const forced = set("FORCE_COLOR") && variables["FORCE_COLOR"] !== "0";
  return { colour: forced || (terminal && !set("NO_COLOR")), redraw: terminal && !set("CI"), columns: stream.columns ?? 80 };
}

/** All variables, for what a child process inherits and what `doctor` shows. */
export function allVariables(): { readonly [name: string]: string | undefined } {
  return process.env;
}

/** `RANKCAST_LOAD_REQUEST`: where the launcher has put this rank's orders. */
export function loadRequestPath(): string {
  return process.env["RANKCAST_LOAD_REQUEST"] ?? "";
}
