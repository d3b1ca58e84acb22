/** A checkpoint whose manifest is read first and whose tensors, or rows of them, are read when they are asked for. */
import { StateDictError, UsageError } from "../errors/checkpoint-error.ts";
import { nearestNames } from "../errors/nearest-names.ts";
import { quote } from "../errors/quote.ts";
import type { StorageDescriptor, TensorDescriptor } from "../manifest/manifest.ts";
import { bytesOf } from "../tensor/dtype.ts";
import { Storage } from "../tensor/storage.ts";
import { elementSpan } from "../tensor/strides.ts";
import { Tensor } from "../tensor/tensor.ts";
import { transferStorages } from "../transfer/transfer-storages.ts";
import type { FetchHooks, FetchOptions } from "./fetch-options.ts";
import { describeTensors, type InspectedTensor } from "./inspect-checkpoint.ts";
import { type OpenedWeights, openWeights } from "./open-weights.ts";

/** Options of `openCheckpoint`. */
export interface OpenCheckpointOptions extends FetchOptions, FetchHooks {
  /** `selected` (default): the state dict a load would take; `whole`: every tensor, named from the root. */
  readonly scope?: "selected" | "whole";
}

/** An open checkpoint. Close it when nothing more is read; tensors that were read stay valid. */
export interface CheckpointHandle extends AsyncDisposable {
  readonly name: string;
  readonly format: string;
  readonly tensors: readonly InspectedTensor[];
  /** String metadata of the file. */
  readonly metadata: ReadonlyMap<string, string>;
  /**
   * Reads one tensor: the bytes its view spans and no more.
   * @throws {StateDictError} RANKCAST_KEY_UNKNOWN with the nearest names; {FormatError} integrity; {SourceError} when the source fails.
   */
  tensor(name: string): Promise<Tensor>;
  /**
   * Reads rows `begin` (inclusive) to `end` (exclusive) of the leading dimension.
   * @throws {UsageError} RANKCAST_USAGE for a range outside the tensor; otherwise as `tensor`.
   */
  slice(name: string, begin: number, end: number): Promise<Tensor>;
  close(): Promise<void>;
}

/**
 * Opens `weights`: reads headers only; over HTTP only the ranges needed where the server can.
 * @throws {SourceError} when the bytes cannot be had; {FormatError} when they are no checkpoint we accept; {StateDictError} without a state dict.
 */
export async function openCheckpoint(weights: string, options: OpenCheckpointOptions = {}): Promise<CheckpointHandle> {
  const opened = await openWeights(weights, { ...options, access: "ranges" });
  const byName = new Map(opened.manifest.tensors.map((tensor) => [tensor.name, tensor]));
  const find = (name: string): TensorDescriptor => {
    const tensor = byName.get(name);
    if (!tensor) throw unknownKey(name, byName);
    return tensor;
  };
  const close = (): Promise<void> => opened.close();
  return {
    name: opened.name,
    format: opened.manifest.format,
    tensors: describeTensors(opened.manifest, null),
    metadata: new Map(opened.manifest.fileMetadata),
    tensor: async (name) => readView(opened, find(name), options),
    slice: async (name, begin, end) => readView(opened, rowsOf(find(name), begin, end), options),
    close,
    [Symbol.asyncDispose]: close,
  };
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

async function readView(
  { manifest, sources, limits }: OpenedWeights,
  view: TensorDescriptor,
  options: OpenCheckpointOptions,
): Promise<Tensor> {
  const whole = manifest.storages[view.storage];
  if (!whole) throw new RangeError(`tensor ${view.name} names storage ${view.storage}`);
  const begin = bytesOf(view.dtype, view.storageOffset);
  const nbytes = bytesOf(view.dtype, elementSpan(view.shape, view.stride));
  const part = whole.meta ? null : partOf(whole, begin, nbytes);
  const read = part ?? whole;
  const storage = whole.meta ? new Storage(null, 0, whole.nbytes) : Storage.allocate(read.nbytes);
  await transferStorages([{ storage: read, target: storage }], sources, { limits, verify: options.verify ?? true, signal: options.signal });
  const { dtype, shape, stride, conj = false, neg = false, requiresGrad = false } = view;
  return new Tensor({
    dtype,
    shape,
    stride,
    storageOffset: part ? 0 : view.storageOffset,
    storage,
    conj,
    neg,
    requiresGrad,
    savedDevice: whole.savedDevice,
  });
}

/** The bytes of a view as a storage of their own, where the file has them in one plain run; null where the storage must be read whole. */
function partOf(storage: StorageDescriptor, begin: number, nbytes: number): StorageDescriptor | null {
  const [piece, ...others] = storage.pieces;
  if (!piece || others.length > 0 || piece.rectangle || piece.extent.type !== "range" || piece.extent.encoding !== "stored") return null;
  if (begin === 0 && nbytes === storage.nbytes) return storage;
  // A part of a record cannot be compared with the record's checksum.
  const extent = { ...piece.extent, offset: piece.extent.offset + begin, storedBytes: nbytes, crc32: null };
  return { ...storage, nbytes, pieces: [{ at: 0, nbytes, extent }] };
}
