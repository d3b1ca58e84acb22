/** How the zip reader words its refusals: file, record, byte offset, then what is wrong. */
import { FormatError } from "../errors/checkpoint-error.ts";
import type { ErrorCode } from "../errors/error-codes.ts";
import { printable, quote } from "../errors/quote.ts";
import type { ByteSource } from "../source/byte-source.ts";

/** Where in an archive something is wrong. */
export interface ZipPlace {
  readonly source: ByteSource;
  readonly record?: string;
  readonly offset?: number;
}

/** A refusal that names its place; `extra` adds typed fields such as `expected` and `found`. */
export function zipError(
  code: ErrorCode,
  place: ZipPlace,
  text: string,
  extra: { readonly [name: string]: string | number } = {},
  cause?: unknown,
): FormatError {
  const record = place.record === undefined ? "" : `record ${quote(place.record)} `;
  const offset = place.offset === undefined ? "" : `at byte ${place.offset}`;
  const where = `${record}${offset}`.trim();
  return new FormatError(code, `${printable(place.source.name)}: ${where === "" ? "" : `${where}: `}${text}`, {
    details: {
      file: place.source.name,
      ...(place.record === undefined ? {} : { record: place.record }),
      ...(place.offset === undefined ? {} : { offset: place.offset }),
      ...extra,
    },
    ...(cause === undefined ? {} : { cause }),
  });
}
