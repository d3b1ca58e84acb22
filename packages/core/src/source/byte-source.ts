/** Random access to the bytes of one file, wherever it is. */

/** What identifies the content of a source as far as the source can tell; compared before and after reading. */
export interface SourceVersion {
  readonly sizeBytes: number;
  /** Strong HTTP validator. */
  readonly etag?: string;
  /** Modification time in milliseconds, for files. */
  readonly mtimeMs?: number;
  readonly inode?: number;
  /** Lower-case hex, when known. */
  readonly sha256?: string;
}

/** A file that can be mapped. `immutable` promises that nobody rewrites or truncates it in place (our cache, or the caller's word). */
export interface BackingFile {
  readonly path: string;
  readonly immutable: boolean;
}

/** A file on its way: what of it can be read without waiting, and when it is whole. */
export interface Arrival {
  /** Resolves when the file is complete, verified and in its place: `file` and `version` are final from then on. Rejects as the download does. */
  readonly complete: Promise<void>;
  /** The download began anew with another content, so what was read before may be of another version. */
  readonly restarted: boolean;
  /** The file that the bytes are written to; null before there is one, and when what was in it was dropped. */
  readonly path: string | null;
  /** How many bytes from `offset` on are here, without a gap. */
  bytesAt(offset: number): number;
  /** Calls `listener` whenever more bytes are here. Returns what ends that. */
  onGrown(listener: () => void): () => void;
}

/** Four methods; features (retry, cache, counting) are wrappers around it, faults are injected the same way. */
export interface ByteSource {
  /** For messages: a path, or a URL without credentials and query. */
  readonly name: string;
  readonly sizeBytes: number;
  readonly version: SourceVersion;
  /** Set when the bytes are a local file. */
  readonly file?: BackingFile | undefined;
  /** Set when a load of several nodes would have this file read by one of them, though it can be read in parts. */
  readonly oneReader?: true;
  /** Set when the bytes are being downloaded: `readInto` then waits for those that are not here yet. */
  readonly arrival?: Arrival;
  /**
   * Fills `target` with the bytes at `offset`.
   * @throws {SourceError} RANKCAST_SOURCE_TRUNCATED when the source ends earlier, RANKCAST_SOURCE_CHANGED when it is another version.
   */
  readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** The files beside an entry file: shards of an index, parts of a directory. Names are relative and already proved safe by the caller. */
export interface Siblings {
  /** Names of all files at most one directory deep, sorted; null where listing is impossible (plain HTTP). */
  list(): Promise<readonly string[] | null>;
  /** Opens one; the siblings own it and close it. @throws {SourceError} RANKCAST_NOT_FOUND when there is none. */
  open(name: string): Promise<ByteSource>;
  close(): Promise<void>;
}

/** What a weights string stands for: one entry file, or a directory whose entry the formats find. */
export interface ResolvedSource {
  /** For messages and reports; no secrets. */
  readonly name: string;
  readonly entry: ByteSource | null;
  readonly siblings: Siblings;
  /** The part of the state dict this scheme is about (`mmcls://` means the backbone); the caller's own subtree wins. */
  readonly subtree?: string;
  close(): Promise<void>;
}

/** Reads `length` bytes at `offset` into a fresh array. @throws {SourceError} as `readInto`. */
export async function readBytes(
  source: ByteSource,
  offset: number,
  length: number,
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  await source.readInto(bytes, offset, signal);
  return bytes;
}
