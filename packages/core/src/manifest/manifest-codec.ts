/**
 * A manifest as bytes, for threads, processes and nodes of one job. The only door to msgpackr.
 *
 * Objects are written as rows (arrays): names are untrusted and msgpackr renames a key called `__proto__`. What comes back is checked
 * field by field, then by `validateManifest`: a peer's bytes are trusted no more than a file's.
 */
import { Packr } from "msgpackr";
import { FormatError } from "../errors/checkpoint-error.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import type { Limits } from "../limits/limits.ts";
import { extraRow, partRow, readExtraRow, readPart } from "./extra-state-rows.ts";
import type { StateDictManifest } from "./manifest.ts";
import { RowReader } from "./manifest-row.ts";
import { readSource, readStorage, readTensor, sourceRow, storageRow, tensorRow } from "./manifest-rows.ts";
import { plainRow, textRow } from "./manifest-text.ts";
import { validateManifest } from "./validate-manifest.ts";

/** Changes whenever rows change; both ends are the same version of rankcast, this says so when they are not. */
const REVISION = 2;

// copyBuffers: bytes would otherwise keep the whole message alive. moreTypes: without it typed arrays are packed wrongly (msgpackr 2.1).
const codec = new Packr({ useRecords: false, mapsAsObjects: false, moreTypes: true, copyBuffers: true });

/** The manifest as bytes. */
export function encodeManifest(manifest: StateDictManifest): Uint8Array {
  return codec.pack([
    REVISION,
    textRow(manifest.format),
    manifest.tensors.map(tensorRow),
    manifest.storages.map(storageRow),
    manifest.sources.map(sourceRow),
    manifest.metadataModules.map(([path, fields]) => [
      textRow(path),
      Object.entries(fields).map(([key, value]) => [textRow(key), plainRow(value)]),
    ]),
    manifest.nontensor.map(([path, value]) => [textRow(path), plainRow(value)]),
    manifest.extraState.entries.map(([key, value]) => [textRow(key), partRow(value)]),
    manifest.extraState.rows.map(extraRow),
    manifest.opaque.map(({ path, global, dangerous }) => [textRow(path), textRow(global), dangerous]),
    manifest.fileMetadata.map((pair) => pair.map(textRow)),
    manifest.checksums,
    manifest.warnings.map(({ code, message }) => [textRow(code), textRow(message)]),
    textRow(manifest.selected),
  ]);
}

/**
 * The manifest in `bytes`, validated.
 * @throws {FormatError} RANKCAST_LIMIT above `manifestBytes`, RANKCAST_MANIFEST_MALFORMED when they are something else, and as `validateManifest`.
 */
export function decodeManifest(bytes: Uint8Array, limits: Limits): StateDictManifest {
  enforceLimit(limits, "manifestBytes", bytes.length, "encoded manifest");
  const manifest = readManifest(new RowReader(unpack(bytes), () => "manifest"));
  validateManifest(manifest, limits);
  return manifest;
}

function unpack(bytes: Uint8Array): unknown {
  try {
    return codec.unpack(bytes);
  } catch (cause) {
    // Claims of impossible lengths and nesting that exhausts the stack end here as well; neither allocates first.
    throw new FormatError("RANKCAST_MANIFEST_MALFORMED", `${bytes.length} bytes are no encoded manifest`, {
      details: { found: bytes.length },
      cause,
    });
  }
}

function readManifest(row: RowReader): StateDictManifest {
  const revision = row.count();
  if (revision !== REVISION) throw row.malformed(`revision ${revision}, expected ${REVISION}`);
  const manifest: StateDictManifest = {
    format: row.text(),
    tensors: row.rows(readTensor),
    storages: row.rows(readStorage),
    sources: row.rows(readSource),
    metadataModules: row.rows((each) => [each.text(), Object.fromEntries(each.rows((field) => [field.text(), field.plain()]))]),
    nontensor: row.rows((each) => [each.text(), each.plain()]),
    extraState: {
      entries: row.rows((each) => [each.text(), readPart(each)]),
      rows: row.rows(readExtraRow),
    },
    opaque: row.rows((each) => ({ path: each.text(), global: each.text(), dangerous: each.flag() })),
    fileMetadata: row.rows((each) => [each.text(), each.text()]),
    checksums: row.oneOf(["present", "partial", "absent"]),
    warnings: row.rows((each) => ({ code: each.text(), message: each.text() })),
    selected: row.text(),
  };
  row.end();
  return manifest;
}
