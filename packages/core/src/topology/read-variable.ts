/** Reading single environment variables strictly. */
import { UsageError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import type { ProcessVariables } from "./detected-rank.ts";
import type { Claim } from "./rank-identity.ts";

/** Far above any job, far below where sums stop being exact. */
const COUNT_MAX = 2 ** 31 - 1;
const PORT_MAX = 65_535;

/** The value; undefined when unset or empty. */
export function textOf(env: ProcessVariables, variable: string): string | undefined {
  const value = env[variable];
  return value === undefined || value === "" ? undefined : value;
}

/**
 * The value of the first of `variables` that is set, as a whole number with its variable's name.
 * @throws {UsageError} RANKCAST_RANK_VARIABLES when it is set to anything but decimal digits up to 2^31 - 1.
 */
export function claimOf(env: ProcessVariables, ...variables: readonly string[]): Claim | undefined {
  const variable = variables.find((each) => textOf(env, each) !== undefined);
  if (variable === undefined) return undefined;
  const text = textOf(env, variable) ?? "";
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= COUNT_MAX)) {
    throw new UsageError("RANKCAST_RANK_VARIABLES", `${variable}: expected a whole number, found ${quote(text)}`, {
      details: { variables: [variable], found: text.slice(0, 200) },
    });
  }
  return { value, variable };
}

/**
 * Claims that must be there once one of a launcher's variables is.
 * @throws {UsageError} RANKCAST_RANK_VARIABLES naming those that are missing, or as `claimOf`.
 */
export function requireVariables(env: ProcessVariables, seen: string, ...variables: readonly string[]): void {
  const missing = variables.filter((variable) => textOf(env, variable) === undefined);
  if (missing.length === 0) return;
  throw new UsageError(
    "RANKCAST_RANK_VARIABLES",
    `${seen} is set but ${missing.join(" and ")} ${missing.length === 1 ? "is" : "are"} not`,
    {
      details: { variables: [seen, ...missing] },
      remedy: `Set ${missing.join(" and ")} too, or unset ${seen}.`,
    },
  );
}

/**
 * A host from one variable and a port from another; null without the host. Brackets of an IPv6 address are taken off.
 * @throws {UsageError} RANKCAST_RANK_VARIABLES when the port is no port.
 */
export function addressOf(env: ProcessVariables, hostVariable: string, portVariable: string): { host: string; port: number | null } | null {
  const host = textOf(env, hostVariable);
  if (host === undefined) return null;
  const port = claimOf(env, portVariable);
  if (port !== undefined && port.value > PORT_MAX) {
    throw new UsageError("RANKCAST_RANK_VARIABLES", `${portVariable}: expected a port up to ${PORT_MAX}, found ${port.value}`, {
      details: { variables: [portVariable] },
    });
  }
  return { host: host.replace(/^\[(.*)\]$/, "$1"), port: port?.value ?? null };
}
