/** A checkpoint whose manifest is read first and whose tensors, or rows of them, are read when they are asked for. */

import { SourceError, StateDictError, UsageError } from "../errors/checkpoint-error.ts";
import { nearestNames } from "../errors/nearest-names.ts";
import { printable, quote } from "../errors/quote.ts";
import { type OptionShapes, oneOf } from "../errors/require-options.ts";
import type { TensorRectangle } from "../format/dcp-rectangle.ts";
import type { Limits } from "../limits/limits.ts";
import type { ArrivingTree } from "../manifest/checkpoint-tree.ts";
import { copyStorage } from "../manifest/copy-storage.ts";
import type { StateDictManifest, StorageDescriptor, TensorDescriptor } from "../manifest/manifest.ts";
import { layoutDigest } from "../manifest/manifest-digest.ts";
import { bytesOf } from "../tensor/dtype.ts";
import { Storage } from "../tensor/storage.ts";
import { contiguousStrides, elementSpan } from "../tensor/strides.ts";
import { Tensor } from "../tensor/tensor.ts";
import { transferStorages } from "../transfer/transfer-storages.ts";
import { type BegunWeights, beginWeights, type DescribedWeights } from "./begin-weights.ts";
import { cutRectangle, viewRectangle } from "./cut-rectangle.ts";
import type { FetchHooks, FetchOptions } from "./fetch-options.ts";
import { describeTensors, type InspectedTensor } from "./inspect-checkpoint.ts";
import { checkedOptions, FETCH_AND_HOOK_OPTIONS } from "./option-names.ts";

const OPEN_SHAPES: OptionShapes = new Map([
  ["scope", oneOf("selected", "whole")],
  ["access", oneOf("ranges", "download")],
]);

/** Options of `openCheckpoint`. */
export interface OpenCheckpointOptions extends FetchOptions, FetchHooks {
  /** `selected` (default): the state dict a load would take; `whole`: every tensor, named from the root. */
  readonly scope?: "selected" | "whole";
  /** `ranges` (default): of a remote file only what is asked for, where the server can; `download`: the file into the cache. */
  readonly access?: "ranges" | "download";
}

/** An open checkpoint. Close it when nothing more is read; tensors that were read stay valid. */
export interface CheckpointHandle extends AsyncDisposable {
  readonly name: string;
  readonly format: string;
  readonly tensors: readonly InspectedTensor[];
  /** String metadata of the file. */
  readonly metadata: ReadonlyMap<string, string>;
  /**
   * Reads one tensor: the bytes its view spans and no more. Waits for those that are still being downloaded.
   * @throws {StateDictError} RANKCAST_KEY_UNKNOWN with the nearest names; {FormatError} integrity; {SourceError} when the source fails.
   */
  tensor(name: string): Promise<Tensor>;
  /**
   * Reads rows `begin` (inclusive) to `end` (exclusive) of the leading dimension.
   * @throws {UsageError} RANKCAST_USAGE for a range outside the tensor; otherwise as `tensor`.
   */
  slice(name: string, begin: number, end: number): Promise<Tensor>;
  /**
   * Reads a rectangle of a tensor, `sizes[axis]` elements from `offsets[axis]` on, row-major: how a rank that keeps a part of each tensor re-shards, however
   * the checkpoint was cut when it was saved. Reads its bytes, and where rows lie close together what is between them.
   * @throws {UsageError} RANKCAST_USAGE for a rectangle outside the tensor; otherwise as `tensor`.
   */
  rectangle(name: string, rectangle: TensorRectangle): Promise<Tensor>;
  /**
   * Resolves when the files behind the handle are complete and verified: at once unless they are being downloaded. What was read before is part of
   * it only then. @throws as the download; {FormatError} when the complete file is refused.
   */
  complete(): Promise<void>;
  /** Stops a download that is still running. */
  close(): Promise<void>;
}

/**
 * Opens `weights`: reads headers only; over HTTP only the ranges needed where the server can. Of a file that is being downloaded (`access`, or a
 * server without ranges), the handle is there as soon as the bytes that describe it are, unless `sha256` says what the whole file must be.
 * @throws {SourceError} when the bytes cannot be had; {FormatError} when they are no checkpoint we accept; {StateDictError} without a state dict.
 */
export async function openCheckpoint(weights: string, given: OpenCheckpointOptions = {}): Promise<CheckpointHandle> {
  const options = checkedOptions("openCheckpoint", given, { ...FETCH_AND_HOOK_OPTIONS, scope: true, access: true }, OPEN_SHAPES);
  const begun = await beginWeights(weights, { access: "ranges", ...options });
  const settling = begun.settle();
  // Told by `complete` and by whoever reads afterwards.
  settling.catch(() => undefined);
  try {
    const early = begun.arriving && options.sha256 === undefined ? begun.early : null;
    return new Handle(begun, early ?? (await settling), settling, options);
  } catch (error) {
    await begun.close();
    throw error;
  }
}

class Handle implements CheckpointHandle {
  readonly name: string;
  readonly format: string;
  readonly tensors: readonly InspectedTensor[];
  readonly metadata: ReadonlyMap<string, string>;
  readonly #begun: BegunWeights;
  readonly #options: OpenCheckpointOptions;
  readonly #byName: ReadonlyMap<string, TensorDescriptor>;
  readonly #settled: Promise<DescribedWeights>;
  #described: DescribedWeights;
  #failure: { readonly error: unknown } | null = null;

  constructor(begun: BegunWeights, first: DescribedWeights, settling: Promise<DescribedWeights>, options: OpenCheckpointOptions) {
    const { manifest } = first;
    this.name = begun.name;
    this.format = manifest.format;
    this.tensors = describeTensors(manifest, null);
    this.metadata = new Map(manifest.fileMetadata);
    this.#begun = begun;
    this.#options = options;
    this.#byName = new Map(manifest.tensors.map((tensor) => [tensor.name, tensor]));
    this.#described = first;
    this.#settled = settling.then((last) => this.#settle(first, last));
    this.#settled.catch((error: unknown) => {
      this.#failure = { error };
    });
  }

  async tensor(name: string): Promise<Tensor> {
    return this.#read(this.#find(name));
  }

  async slice(name: string, begin: number, end: number): Promise<Tensor> {
    return this.#read(rowsOf(this.#find(name), begin, end));
  }

  async rectangle(name: string, rectangle: TensorRectangle): Promise<Tensor> {
    const tensor = this.#find(name);
    const view = viewRectangle(tensor, rectangle);
    return this.#read(view, (storage) => cutRectangle(storage, tensor, rectangle));
  }

  async complete(): Promise<void> {
    await this.#settled;
  }

  close(): Promise<void> {
    return this.#begun.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #settle(first: DescribedWeights, last: DescribedWeights): DescribedWeights {
    const isSame = last.tree.root === first.tree.root || placesOf(last.manifest) === placesOf(first.manifest);
    if (!isSame) {
      throw new SourceError("RANKCAST_SOURCE_CHANGED", `${printable(this.name)}: the complete file is not what its beginning said`, {
        details: { file: this.name },
      });
    }
    this.#described = last;
    return last;
  }

  #find(name: string): TensorDescriptor {
    const tensor = this.#byName.get(name);
    if (!tensor) throw unknownKey(name, this.#byName);
    return tensor;
  }

  async #read(view: TensorDescriptor, cut?: CutStorage): Promise<Tensor> {
    if (this.#failure !== null) throw this.#failure.error;
    const tensor = await readView(this.#described, view, { ...this.#options, limits: this.#begun.limits }, cut);
    // A download that turned out to be bad meanwhile.
    if (this.#failure !== null) throw (this.#failure as { readonly error: unknown }).error;
    return tensor;
  }
}

/** What must not change when a file is read again: tensors, and where their bytes are. */
function placesOf(manifest: StateDictManifest): string {
  const ranges = manifest.storages.flatMap(({ pieces }) =>
    pieces.map(({ at, extent }) => (extent.type === "range" ? [at, extent.source, extent.offset, extent.storedBytes] : [at])),
  );
  return `${layoutDigest(manifest)} ${JSON.stringify(ranges)}`;
}

function unknownKey(name: string, byName: ReadonlyMap<string, unknown>): StateDictError {
  const nearest = nearestNames(name, [...byName.keys()], 3);
  return new StateDictError(
    "RANKCAST_KEY_UNKNOWN",
    `there is no tensor ${quote(name)}${nearest.length > 0 ? `; nearest: ${nearest.map(quote).join(", ")}` : ""}`,
    {
      details: { key: name.slice(0, 200), nearest },
    },
  );
}

function rowsOf(tensor: TensorDescriptor, begin: number, end: number): TensorDescriptor {
  const [rows] = tensor.shape;
  if (rows === undefined || !Number.isInteger(begin) || !Number.isInteger(end) || begin < 0 || end < begin || end > rows) {
    throw new UsageError("RANKCAST_USAGE", `rows [${begin}, ${end}) are outside shape [${tensor.shape.join(", ")}]`, {
      details: { begin, end, shape: tensor.shape },
    });
  }
  return {
    ...tensor,
    shape: [end - begin, ...tensor.shape.slice(1)],
    storageOffset: tensor.storageOffset + begin * (tensor.stride[0] ?? 0),
  };
}

/** The storage of which a view is the whole, row by row; null where there is none. */
type CutStorage = (storage: StorageDescriptor) => StorageDescriptor | null;

async function readView(
  { manifest, tree }: DescribedWeights,
  view: TensorDescriptor,
  { limits, verify = true, signal }: Omit<OpenCheckpointOptions, "limits"> & { readonly limits: Limits },
  cutStorage: CutStorage = () => null,
): Promise<Tensor> {
  const described = manifest.storages[view.storage];
  if (!described) throw new RangeError(`tensor ${view.name} names storage ${view.storage}`);
  const whole = tree.arriving ? await proveStorage(described, tree.arriving) : described;
  const begin = bytesOf(view.dtype, view.storageOffset);
  const nbytes = bytesOf(view.dtype, elementSpan(view.shape, view.stride));
  const cut = cutStorage(whole);
  const part = cut ?? (whole.meta ? null : partOf(whole, begin, nbytes));
  const read = part ?? whole;
  const storage = whole.meta ? new Storage(null, 0, whole.nbytes) : Storage.allocate(read.nbytes);
  await transferStorages([{ storage: read, target: storage }], tree.sources, {
    limits,
    verify,
    signal,
  });
  const { dtype, shape, conj = false, neg = false, requiresGrad = false } = view;
  return new Tensor({
    dtype,
    shape,
    stride: cut ? contiguousStrides(shape) : view.stride,
    storageOffset: part ? 0 : view.storageOffset,
    storage,
    conj,
    neg,
    requiresGrad,
    savedDevice: whole.savedDevice,
  });
}

/** The storage with its places proved and checksums added, now that its bytes are here. */
async function proveStorage(storage: StorageDescriptor, arriving: ArrivingTree): Promise<StorageDescriptor> {
  const pieces = storage.pieces.map(async (piece) =>
    piece.extent.type === "range" ? { ...piece, extent: await arriving.prove(piece.extent) } : piece,
  );
  return copyStorage(storage, { pieces: await Promise.all(pieces) });
}

/** The bytes of a view as a storage of their own, where the file has them in one plain run; null where the storage must be read whole. */
function partOf(storage: StorageDescriptor, begin: number, nbytes: number): StorageDescriptor | null {
  const [piece, ...others] = storage.pieces;
  if (!piece || others.length > 0 || piece.rectangle || piece.extent.type !== "range" || piece.extent.encoding !== "stored") return null;
  if (begin === 0 && nbytes === storage.nbytes) return storage;
  // A part of a record cannot be compared with the record's checksum.
  const extent = { ...piece.extent, offset: piece.extent.offset + begin, storedBytes: nbytes, crc32: null };
  return copyStorage(storage, { nbytes, pieces: [{ at: 0, nbytes, extent }] });
}
