/** The error of every crossed limit. */
import { FormatError } from "../errors/checkpoint-error.ts";
import type { LimitName } from "./limits.ts";

/**
 * Refuses `found` when it is above the named limit.
 * @throws {FormatError} RANKCAST_LIMIT with the limit's name, its value and what was found.
 */
export function enforceLimit(limits: { readonly [name in LimitName]: number }, name: LimitName, found: number, where: string): void {
  if (found > limits[name]) {
    throw new FormatError("RANKCAST_LIMIT", `${where}: ${found} is above the limit ${name} = ${limits[name]}`, {
      details: { limit: name, allowed: limits[name], found, where },
    });
  }
}
