/** The small records of a torch archive beside its pickle: `version`, `byteorder`, and what is left over. */
import type { Container } from "../container/container.ts";
import { FormatError } from "../errors/checkpoint-error.ts";
import type { ErrorCode } from "../errors/error-codes.ts";
import { printable, quote } from "../errors/quote.ts";
import type { Warning } from "../manifest/checkpoint-tree.ts";

const VERSION_MIN = 1;
const VERSION_MAX = 10;
/** `version` and `byteorder` hold one word. */
const WORD_BYTES_MAX = 32;

/** What of an archive nothing uses: odd, and no reason to refuse it. */
export function leftOver(trailingBytes: number, unusedRecords: number): Warning[] {
  const warnings: Warning[] = [];
  if (trailingBytes > 0) {
    warnings.push({ code: "pickle-trailing-bytes", message: `${trailingBytes} bytes behind the end of data.pkl's pickle were ignored` });
  }
  if (unusedRecords > 0) {
    warnings.push({ code: "unused-storages", message: `${unusedRecords} storages of the archive belong to no tensor` });
  }
  return warnings;
}

/** torch reads versions 1 to 10 and refuses files without one. @throws {FormatError} RANKCAST_TORCH_VERSION. */
export async function checkVersion(container: Container, folder: string, signal: AbortSignal | undefined): Promise<void> {
  const text = await readWord(container, `${folder}/version`, signal);
  const version = /^\s*\d{1,9}\s*$/.test(text ?? "") ? Number(text) : Number.NaN;
  if (version >= VERSION_MIN && version <= VERSION_MAX) return;
  const found = text === null ? "no version" : `version ${quote(text)}`;
  throw fail(
    "RANKCAST_TORCH_VERSION",
    container,
    `${folder}/version`,
    `the archive has ${found}, expected ${VERSION_MIN} to ${VERSION_MAX}`,
  );
}

/** Files without the record are older than it, and little-endian. @throws {FormatError} RANKCAST_TORCH_BYTE_ORDER. */
export async function isBigEndian(container: Container, folder: string, signal: AbortSignal | undefined): Promise<boolean> {
  const text = await readWord(container, `${folder}/byteorder`, signal);
  if (text === null || text === "little") return false;
  if (text === "big") return true;
  throw fail("RANKCAST_TORCH_BYTE_ORDER", container, `${folder}/byteorder`, `expected "little" or "big", found ${quote(text)}`);
}

async function readWord(container: Container, name: string, signal: AbortSignal | undefined): Promise<string | null> {
  const entry = container.entries.get(name);
  if (entry === undefined) return null;
  if (entry.nbytes > WORD_BYTES_MAX) return `(${entry.nbytes} bytes)`;
  return Buffer.from(await container.read(entry, signal)).toString("latin1");
}

function fail(code: ErrorCode, container: Container, record: string, text: string): FormatError {
  const { name } = container.source;
  const offset = container.entries.get(record)?.offset ?? 0;
  return new FormatError(code, `${printable(name)}, record ${printable(record)}: ${text}`, { details: { file: name, record, offset } });
}
