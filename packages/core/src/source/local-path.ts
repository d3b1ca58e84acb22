/** What people write for a local file, as a path the operating system understands. */
import { homedir } from "node:os";
import { fileURLToPath } from "node:url";
import { UsageError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";

/**
 * `~`, `~/x` and `file://` URLs as plain paths; anything else as it stands. Relative paths stay relative. `~user` is not expanded:
 * Node cannot look other people up.
 * @throws {UsageError} RANKCAST_USAGE for a `file://` URL with a host, a query, or an escaped slash.
 */
export function resolveLocalPath(text: string, home: string = homedir()): string {
  if (text === "~") return home;
  if (text.startsWith("~/")) return `${home}${text.slice(1)}`;
  if (!/^file:\/\//i.test(text)) return text;
  try {
    return fileURLToPath(text);
  } catch (cause) {
    throw new UsageError("RANKCAST_USAGE", `${quote(text)} is no usable file URL: expected file:///absolute/path`, {
      details: { weights: text },
      cause,
    });
  }
}
