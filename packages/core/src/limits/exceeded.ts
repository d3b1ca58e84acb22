/** The error of every crossed limit. */
import { FormatError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import type { LimitName } from "./limits.ts";

/** Where the thing is that was counted. */
export interface LimitPlace {
  readonly file: string;
  /** What was counted, when the limit's name does not say it. Untrusted text in it must be quoted. */
  readonly what?: string;
  readonly record?: string;
  /** Byte of the file. */
  readonly offset?: number;
}

/**
 * Refuses `found` when it is above the named limit. `place` is a plain text where there is no file.
 * @throws {FormatError} RANKCAST_LIMIT with the limit's name, its value, what was found and where.
 */
export function enforceLimit(
  limits: { readonly [name in LimitName]: number },
  name: LimitName,
  found: number,
  place: string | LimitPlace,
): void {
  if (found > limits[name]) limitError(limits, name, found, place);
}

/** The refusal itself. @throws {FormatError} RANKCAST_LIMIT always. */
export function limitError(
  limits: { readonly [name in LimitName]: number },
  name: LimitName,
  found: number,
  place: string | LimitPlace,
): never {
  const where = typeof place === "string" ? place : describePlace(place);
  const { file, record, offset }: Partial<LimitPlace> = typeof place === "string" ? {} : place;
  throw new FormatError("RANKCAST_LIMIT", `${where}: ${found} is above the limit ${name} = ${limits[name]}`, {
    details: {
      ...(file === undefined ? {} : { file }),
      ...(record === undefined ? {} : { record }),
      ...(offset === undefined ? {} : { offset }),
      limit: name,
      allowed: limits[name],
      found,
      where,
    },
  });
}

function describePlace({ file, what, record, offset }: LimitPlace): string {
  const parts = [
    ...(record === undefined ? [] : [`record ${printable(record)}`]),
    ...(offset === undefined ? [] : [`byte ${offset}`]),
    ...(what === undefined ? [] : [what]),
  ];
  return parts.length === 0 ? printable(file) : `${printable(file)}, ${parts.join(", ")}`;
}
