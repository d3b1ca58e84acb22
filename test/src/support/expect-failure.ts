/** What every failed command owes its user: a code, a reason, a remedy, no stack trace, nothing left behind. */
import { expect } from "chai";
import type { CommandResult, CommandSandbox } from "./command-sandbox.js";

/** The error document of `--json`. */
export interface ErrorDocument {
  readonly code: string;
  readonly class: string;
  readonly message: string;
  readonly remedy: string;
  readonly details: Readonly<Record<string, unknown>> & { readonly rootCause?: RootCauseDocument };
  readonly cause?: unknown;
}

/** Who failed first. */
export interface RootCauseDocument {
  readonly rank: number;
  readonly nodeRank: number;
  readonly host: string;
  readonly code: string;
  readonly message: string;
}

const STACK_LINE = /^\s+at .+:\d+:\d+\)?$/m;

/**
 * Checks a failure under `--json` and returns its error: exit code, nothing on stdout, the last line of stderr is the document, no stack
 * trace anywhere, and nothing left in the sandbox (but `partials` of downloads that are resumed, where they may be).
 */
export async function expectFailure(
  result: CommandResult,
  sandbox: CommandSandbox,
  exitCode = 1,
  may: { readonly partials?: boolean } = {},
): Promise<ErrorDocument> {
  expect(result.exitCode, result.stderr).to.equal(exitCode);
  expect(result.stdout).to.equal("");
  const lines = result.stderr.trimEnd().split("\n");
  const { error } = JSON.parse(lines.at(-1) ?? "") as { error: ErrorDocument };
  expect(error.code).to.match(/^RANKCAST_[A-Z0-9_]+$/);
  for (const field of ["class", "message", "remedy"] as const) expect(error[field], field).to.be.a("string").and.not.to.equal("");
  expect(error.details).to.be.an("object");
  expect(result.stderr, "a stack trace").not.to.match(STACK_LINE);
  expect(await sandbox.leftovers(may), "left behind").to.deep.equal([]);
  return error;
}
