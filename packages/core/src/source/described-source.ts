/** A source under another name. */
import type { ByteSource, SourceVersion } from "./byte-source.ts";

/** `source` with another name for messages, and with what else is known about its content. */
export function describedSource(source: ByteSource, name: string, known: Partial<SourceVersion> = {}): ByteSource {
  return {
    name,
    sizeBytes: source.sizeBytes,
    version: { ...source.version, ...known },
    ...(source.file ? { file: source.file } : {}),
    readInto: (target, offset, signal) => source.readInto(target, offset, signal),
    close: () => source.close(),
  };
}
