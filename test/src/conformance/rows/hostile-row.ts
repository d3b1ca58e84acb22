/** What a row of the list of hostile inputs is, and the makers of those that are no fixtures. */
import { buildZip } from "../../support/build-zip.ts";
import { fixtureBytes } from "../../support/fixtures.ts";
import { legacyFile, torchZipFile } from "../../support/torch-file.ts";
import { bytesOf, global, type Part, pickle, u32, u64 } from "../../support/write-pickle.ts";

/** Bytes of one file, or several of which the one named `entry` is opened (a directory without one). */
export type Made = Uint8Array | { readonly files: ReadonlyMap<string, Uint8Array | string>; readonly entry?: string };

/** One row. */
export interface HostileRow {
  readonly what: string;
  /** Class of refusal, or `read`. */
  readonly outcome: string;
  /** Paths below `fixtures`. */
  readonly fixtures?: readonly string[];
  readonly made?: readonly (() => Made)[];
  /** Inputs, by name without ending, that break another rule first. */
  readonly except?: Readonly<Record<string, string>>;
  readonly limits?: Readonly<Record<string, number>>;
  /** Too little is there to know the format by; the safetensors reader itself is asked. */
  readonly door?: boolean;
  /** Refused when it is written out: the parts alone are what they are. */
  readonly densify?: boolean;
}

/** A row and its number in the list. */
export type NumberedRow = readonly [row: number, what: HostileRow];

/** Paths of refused fixtures. */
export const refused = (folder: string, ...names: string[]): readonly string[] => names.map((name) => `refused/${folder}/${name}`);
/** Paths of accepted torch archives. */
export const zips = (...names: string[]): readonly string[] => names.map((name) => `accepted/torch-zip/${name}.pt`);
/** Paths of refused safetensors headers. */
export const st = (...names: string[]): readonly string[] => names.map((name) => `refused/header/st_${name}.safetensors`);
/** A small good archive. */
export const minimal = (): Uint8Array => fixtureBytes("accepted/torch-zip/minimal.pt");
/** An archive with this pickle. */
export const zipOf = (...parts: Part[]): Uint8Array => torchZipFile({ pickle: pickle(...parts) });
/** An archive whose pickle is one frame that claims `nbytes`. */
export const frame = (nbytes: number | bigint, ...body: Part[]): Uint8Array =>
  torchZipFile({ pickle: bytesOf("\x80\x04\x95", u64(nbytes), ...body) });
/** A safetensors file of a header. */
export const header = (json: string): Uint8Array => bytesOf(u64(Buffer.byteLength(json)), Buffer.from(json));
/** An index with this map. */
export const index = (weightMap: string): Made => ({
  files: new Map([["model.safetensors.index.json", `{"metadata":{},"weight_map":${weightMap}}`]]),
  entry: "model.safetensors.index.json",
});

/** Zeros that DEFLATE shrinks a thousandfold. */
export function bomb(nbytes: number): Uint8Array {
  return buildZip([
    { name: "archive/data.pkl", bytes: pickle("N") },
    { name: "archive/data/0", bytes: new Uint8Array(nbytes), deflate: true },
  ]);
}

/** Old streams inside of each other. */
export function nestedStreams(depth: number): Uint8Array {
  let stream = legacyFile();
  for (let level = 0; level < depth; level += 1) {
    const nested = pickle(global("torch.storage", "_load_from_bytes"), "B", u32(stream.length), stream, "\x85R");
    stream = legacyFile({ object: nested, storages: [] });
  }
  return stream;
}

/** A directory of so many rows, all alike: their number alone must be enough. */
export function manyRecords(count: number): Uint8Array {
  const row = Buffer.alloc(46 + 12);
  row.writeUInt32LE(0x02014b50, 0);
  row.writeUInt16LE(12, 28);
  row.write("archive/data", 46);
  const directory = Buffer.alloc(row.length * count, row);
  const whole = buildZip([{ name: "archive/data", bytes: new Uint8Array() }]);
  const start = Buffer.from(whole).indexOf(Buffer.from("PK\u0001\u0002"));
  const end = Buffer.from(buildZip([], { entryCount: count, directoryOffset: start }));
  end.writeBigUInt64LE(BigInt(directory.length), 40);
  end.writeBigUInt64LE(BigInt(start + directory.length), 64);
  end.writeUInt32LE(directory.length, 76 + 12);
  return bytesOf(whole.subarray(0, start), directory, end);
}

/** Ten thousand directory rows that all point at the same bytes. */
export function overlappingRecords(): Uint8Array {
  const records = Array.from({ length: 10_000 }, (_, at) => ({
    name: `archive/data/${at}`,
    bytes: new Uint8Array(at === 0 ? 1000 : 0),
    directory: { headerOffset: 0, nbytes: 1000, storedBytes: 1000 },
  }));
  return buildZip(records);
}
