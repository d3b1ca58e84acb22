/** Digests by which nodes agree that they talk about the same thing. */
import { createHash, type Hash } from "node:crypto";
import type { SourceVersion } from "../source/byte-source.ts";
import type { ExtraState } from "./extra-state.ts";
import type { StateDictManifest } from "./manifest.ts";

/** Text is handed to the hash in portions of about this size: one call per tensor would cost more than the hash. */
const PORTION_CHARACTERS = 64 * 1024;

/**
 * SHA-256 (hex) of names, dtypes, shapes, strides, offsets, sharing and storage sizes. Equal: segments, plans and bound tensors of one
 * manifest fit the other.
 */
export function layoutDigest(manifest: Pick<StateDictManifest, "tensors" | "storages">): string {
  const lines = new LineHash("rankcast layout 1");
  addLayout(lines, manifest);
  return lines.finish();
}

/**
 * SHA-256 (hex) of everything that decides the result of a load: the layout, where the bytes are, and which version of each file. Paths
 * are left out, for they differ from node to node. Equal: same bytes.
 */
export function manifestDigest(manifest: StateDictManifest): string {
  const lines = new LineHash("rankcast manifest 1");
  addLayout(lines, manifest);
  for (const { name, version } of manifest.sources) lines.add(JSON.stringify([name, ...identityOf(version)]));
  for (const { pieces, swapBytes, savedDevice } of manifest.storages) {
    lines.add(`storage ${swapBytes} ${JSON.stringify(savedDevice)}`);
    for (const { at, nbytes, extent, rectangle } of pieces) {
      const box = rectangle ? `${rectangle.shape}/${rectangle.offsets}/${rectangle.sizes}/${rectangle.itemBytes}` : "";
      if (extent.type === "inline") lines.addBytes(`${at} ${nbytes} ${box}`, extent.bytes);
      else lines.add(`${at} ${nbytes} ${box} ${extent.source} ${extent.offset} ${extent.storedBytes} ${extent.encoding} ${extent.crc32}`);
    }
  }
  const { format, selected, metadataModules, nontensor, extraState, opaque, fileMetadata, checksums } = manifest;
  for (const part of [[format, selected, checksums], ...metadataModules, ...nontensor, ...opaque, ...fileMetadata]) {
    lines.add(JSON.stringify(part));
  }
  addExtraState(lines, extraState);
  return lines.finish();
}

/** SHA-256 (hex) of extra state, its tensors by their place in the manifest. */
export function extraStateDigest(extraState: ExtraState): string {
  const lines = new LineHash("rankcast extra state 1");
  addExtraState(lines, extraState);
  return lines.finish();
}

function addExtraState(lines: LineHash, { entries, rows }: ExtraState): void {
  for (const entry of entries) lines.add(JSON.stringify(entry, spellNumbers));
  for (const { type, label, numbers, parts, bytes } of rows) {
    // JSON has no words for NaN and the infinities.
    lines.add(`${type} ${JSON.stringify(label)} ${numbers} ${JSON.stringify(parts, spellNumbers)}`);
    if (bytes) lines.addBytes(`${bytes.length}`, bytes);
  }
}

function spellNumbers(_: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? { number: String(value) } : value;
}

function addLayout(lines: LineHash, { tensors, storages }: Pick<StateDictManifest, "tensors" | "storages">): void {
  for (const { name, dtype, shape, stride, storageOffset, storage, conj, neg, extra } of tensors) {
    // JSON escapes line breaks and lone surrogates, so a line has one reading only.
    lines.add(
      `${JSON.stringify(name)} ${dtype} ${shape} ${stride} ${storageOffset} ${storage} ${conj ? 1 : 0}${neg ? 1 : 0}${extra ? 1 : 0}`,
    );
  }
  for (const { nbytes, meta } of storages) lines.add(`${nbytes} ${meta ? 1 : 0}`);
}

/** A content hash or a strong validator says more than times and inodes, which a copy does not keep. */
function identityOf({ sizeBytes, sha256, etag, mtimeMs, inode }: SourceVersion): (string | number | null)[] {
  if (sha256 !== undefined) return [sizeBytes, "sha256", sha256];
  if (etag !== undefined) return [sizeBytes, "etag", etag];
  return [sizeBytes, "file", mtimeMs ?? null, inode ?? null];
}

class LineHash {
  readonly #hash: Hash = createHash("sha256");
  #portion: string;

  constructor(title: string) {
    this.#portion = `${title}\n`;
  }

  add(line: string): void {
    this.#portion += `${line}\n`;
    if (this.#portion.length >= PORTION_CHARACTERS) this.#flush();
  }

  /** A line followed by bytes; the line must say how many. */
  addBytes(line: string, bytes: Uint8Array): void {
    this.add(line);
    this.#flush();
    this.#hash.update(bytes);
  }

  finish(): string {
    this.#flush();
    return this.#hash.digest("hex");
  }

  #flush(): void {
    this.#hash.update(this.#portion);
    this.#portion = "";
  }
}
