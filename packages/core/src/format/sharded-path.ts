/** Names of files inside files: an index, a distributed checkpoint. They are an attacker's text until proved harmless. */
import { FormatError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import type { Limits } from "../limits/limits.ts";

/** Control characters end a path in C, start an escape in a terminal, and occur in no published file name. */
const FORBIDDEN = /[\u0000-\u001f\u007f\\]/;
/** `C:`, `https:`, `file:`. */
const SCHEME_OR_DRIVE = /^[A-Za-z][A-Za-z0-9+.-]*:/;
/** Escapes that turn into a dot, a slash, a backslash or NUL where a name becomes part of a URL. */
const ESCAPED = /%(?:2e|2f|5c|00)/i;

/**
 * Gives `name` back when it is a plain relative path below its folder. `offset` is the byte of `file` where it is named, if that is known.
 * @throws {FormatError} RANKCAST_UNSAFE_PATH for absolute paths, URLs, drive letters, backslashes, control characters, empty, `.` and `..`
 *   segments, escaped or not; RANKCAST_LIMIT.
 */
export function requireSafePath(name: string, file: string, limits: Limits, offset?: number): string {
  const place = offset === undefined ? { file } : { file, offset };
  enforceLimit(limits, "indexNameBytes", Buffer.byteLength(name), { ...place, what: "name of a file" });
  const segments = name.split("/");
  const unsafe =
    FORBIDDEN.test(name) ||
    SCHEME_OR_DRIVE.test(name) ||
    ESCAPED.test(name) ||
    segments.some((each) => each === "" || each === "." || each === "..");
  if (!unsafe) return name;
  const at = offset === undefined ? "" : `at byte ${offset}: `;
  throw new FormatError("RANKCAST_UNSAFE_PATH", `${file}: ${at}names the file ${quote(name)}, which is no plain relative path`, {
    details: { ...place, path: name },
  });
}
