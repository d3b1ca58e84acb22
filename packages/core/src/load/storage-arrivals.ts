/**
 * Storages of files that are still being downloaded: where each lies, and which are here. For work that may begin before a download is complete
 * and shows nothing of what it made until the complete files have been verified.
 */

import { copyStorage } from "../manifest/copy-storage.ts";
import type { StateDictManifest, StorageDescriptor } from "../manifest/manifest.ts";
import { encodeManifest } from "../manifest/manifest-codec.ts";
import type { ByteSource } from "../source/byte-source.ts";

/** See the module comment. */
export interface StorageArrivals {
  /** What the beginning of the files says. */
  readonly manifest: StateDictManifest;
  /** Paths of the files that storages lie in. They may get other names when they are complete. */
  readonly files: readonly string[];
  /** Two numbers per storage of the manifest: index into `files` and byte offset; -1 and 0 for what does not lie there as tensors need it. */
  readonly flat: readonly number[];
  /** A download began anew: nothing that was read before may be used. */
  readonly restarted: boolean;
  /** Calls `listener` with the storages that are here, each once, now and as they come. Returns what ends that. */
  follow(listener: (storages: readonly number[]) => void): () => void;
}

/** Growth is told for every block of a download; consumers are told of it at most this often. */
const TELL_MS = 20;
/** What is smaller is copied in no time, and there may be hundreds of thousands. */
const STORAGE_BYTES_MIN = 16_384;

interface Place {
  readonly storage: number;
  readonly source: number;
  readonly offset: number;
  readonly nbytes: number;
}

/** The storages of `manifest` in `sources`, some of which are arriving; null when none of them can be read before it is complete. */
export function storageArrivals(manifest: StateDictManifest, sources: readonly ByteSource[]): StorageArrivals | null {
  const places = manifest.storages.flatMap((storage, index) => placeOf(storage, index, sources) ?? []);
  if (places.length === 0) return null;
  const named = [...new Set(places.map(({ source }) => source))];
  const flat = manifest.storages.flatMap(() => [-1, 0]);
  for (const { storage, source, offset } of places) {
    flat[2 * storage] = named.indexOf(source);
    flat[2 * storage + 1] = offset;
  }
  return {
    manifest,
    files: named.map((source) => pathOf(sources[source]) ?? ""),
    flat,
    get restarted() {
      return sources.some(({ arrival }) => arrival?.restarted === true);
    },
    follow: (listener) => follow(places, sources, listener),
  };
}

/** Whether complete files say of every storage and tensor what their beginning said, so that copies which were made by it are right. */
export function isAsItArrived(arrivals: StorageArrivals, manifest: StateDictManifest, sources: readonly ByteSource[]): boolean {
  if (arrivals.restarted) return false;
  const flat = storageArrivals(manifest, sources)?.flat ?? [];
  return (
    flat.length === arrivals.flat.length &&
    flat.every((value, index) => value === arrivals.flat[index]) &&
    Buffer.from(encodeManifest(tensorsOf(manifest))).equals(encodeManifest(tensorsOf(arrivals.manifest)))
  );
}

/** What binding and planning look at. */
function tensorsOf(manifest: StateDictManifest): StateDictManifest {
  const storages = manifest.storages.map((storage) => copyStorage(storage, { pieces: [] }));
  return { ...manifest, storages, sources: [], fileMetadata: [], checksums: "absent", warnings: [] };
}

function pathOf(source: ByteSource | undefined): string | null {
  return source?.file?.path ?? source?.arrival?.path ?? null;
}

/** Where a storage lies as one run of stored bytes; undefined when it does not, or is too small to be worth a word. */
function placeOf(
  { pieces, nbytes, swapBytes, meta }: StorageDescriptor,
  storage: number,
  sources: readonly ByteSource[],
): Place | undefined {
  const [piece, ...others] = pieces;
  if (meta || !piece || others.length > 0 || piece.rectangle || piece.nbytes !== nbytes || swapBytes !== 1) return undefined;
  const { extent } = piece;
  if (nbytes < STORAGE_BYTES_MIN || extent.type !== "range" || extent.encoding !== "stored") return undefined;
  if (pathOf(sources[extent.source]) === null) return undefined;
  return { storage, source: extent.source, offset: extent.offset, nbytes };
}

function follow(places: readonly Place[], sources: readonly ByteSource[], listener: (storages: readonly number[]) => void): () => void {
  let pending = places;
  let timer: NodeJS.Timeout | undefined;
  const tell = (): void => {
    timer = undefined;
    const here: number[] = [];
    pending = pending.filter((place) => {
      const isHere = bytesAt(sources[place.source], place.offset) >= place.nbytes;
      if (isHere) here.push(place.storage);
      return !isHere;
    });
    if (here.length > 0) listener(here);
  };
  const ends = sources.map(({ arrival }) =>
    arrival?.onGrown(() => {
      timer ??= setTimeout(tell, TELL_MS).unref();
    }),
  );
  tell();
  return () => {
    clearTimeout(timer);
    for (const end of ends) end?.();
  };
}

function bytesAt(source: ByteSource | undefined, offset: number): number {
  if (!source) return 0;
  return source.arrival ? source.arrival.bytesAt(offset) : source.sizeBytes - offset;
}
