/** Where in a file a pickle is being read, and the errors that say so. */
import { type ErrorDetails, FormatError } from "../errors/checkpoint-error.ts";
import type { ErrorCode } from "../errors/error-codes.ts";
import { printable } from "../errors/quote.ts";

/** Place of a pickle, for messages. */
export interface PickleSite {
  /** Path or URL without secrets. */
  readonly file: string;
  /** Record of a container, or which pickle of a stream. */
  readonly record?: string;
  /** What to add to an offset of the reading's source to get the byte of the file; 0 when the record is compressed. */
  readonly baseOffset: number;
}

/** An error at byte `offset` of the reading's source: message and details name file, record, byte of the file and opcode. */
export function pickleError(
  code: ErrorCode,
  text: string,
  site: PickleSite,
  offset: number,
  opcode?: string,
  details: ErrorDetails = {},
): FormatError {
  const byte = site.baseOffset + offset;
  const record = site.record === undefined ? "" : `, record ${printable(site.record)}`;
  const at = opcode === undefined ? `byte ${byte}` : `byte ${byte} (${opcode})`;
  return new FormatError(code, `${printable(site.file)}${record}, ${at}: ${text}`, {
    details: {
      file: site.file,
      ...(site.record === undefined ? {} : { record: site.record }),
      offset: byte,
      ...(opcode === undefined ? {} : { opcode }),
      ...details,
    },
  });
}
