/**
 * The `data.pkl` of a state dict, as `torch.save` builds it: tensors as calls of `torch._utils._rebuild_tensor_v2` (or `_v3` where the
 * element type has no storage class of its own), storages as persistent ids.
 */
import { CheckpointError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { bytesOf, type DType, traitsOf } from "../tensor/dtype.ts";
import type { StateDict } from "../tensor/state-dict.ts";
import type { Storage } from "../tensor/storage.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { PickleWriter } from "./pickle-writer.ts";
import { ValuePickler } from "./value-pickler.ts";

/** What goes into the archive. */
export interface TorchPlan {
  readonly pickle: Uint8Array;
  /** Record `data/<index>` holds the bytes of the storage with that index. */
  readonly storages: readonly Storage[];
}

/** Element types that have a storage class. Source: `_dtype_to_storage_type_map` in `torch/storage.py`. */
const STORAGE_CLASSES: ReadonlyMap<DType, string> = new Map([
  ["float64", "DoubleStorage"],
  ["float32", "FloatStorage"],
  ["float16", "HalfStorage"],
  ["bfloat16", "BFloat16Storage"],
  ["int64", "LongStorage"],
  ["int32", "IntStorage"],
  ["int16", "ShortStorage"],
  ["int8", "CharStorage"],
  ["uint8", "ByteStorage"],
  ["bool", "BoolStorage"],
  ["complex128", "ComplexDoubleStorage"],
  ["complex64", "ComplexFloatStorage"],
]);

/**
 * Plans the archive of a state dict: an `OrderedDict` of tensors, `_metadata` as torch keeps it, then the values of `extraState`.
 * @throws {CheckpointError} RANKCAST_SAVE_DTYPE, RANKCAST_SAVE_VALUE; {UsageError} RANKCAST_SAVE_NAME.
 */
export function planTorch(stateDict: ReadonlyMap<string, Tensor> | StateDict): TorchPlan {
  return new TorchPickler(stateDict).plan();
}

/** One storage, however many tensors view it. */
interface Place {
  readonly index: number;
  readonly storage: Storage;
  /** Class and element count: of the one dtype that views it, or untyped in bytes. */
  readonly dtypes: Set<DType>;
}

class TorchPickler {
  readonly #stateDict: ReadonlyMap<string, Tensor> | StateDict;
  readonly #writer = new PickleWriter();
  readonly #values = new ValuePickler(this.#writer, (name, tensor) => {
    this.#tensor(name, tensor);
  });
  readonly #places = new Map<ArrayBufferLike, Map<string, Place>>();
  readonly #storages: Storage[] = [];

  constructor(stateDict: ReadonlyMap<string, Tensor> | StateDict) {
    this.#stateDict = stateDict;
  }

  plan(): TorchPlan {
    const extra = "extraState" in this.#stateDict ? this.#stateDict.extraState : new Map<string, unknown>();
    for (const tensor of this.#stateDict.values()) this.#placeOf(tensor)?.dtypes.add(tensor.dtype);
    this.#writer.orderedDict();
    const items = [...this.#stateDict, ...extra];
    if (items.length > 0)
      this.#writer.items(items, ([name, value]) => {
        this.#writer.text(name);
        this.#values.write(name, value);
      });
    this.#moduleMetadata();
    return { pickle: this.#writer.finish(), storages: this.#storages };
  }

  /** torch hangs it on the dict as an attribute, which a pickle sets by BUILD. */
  #moduleMetadata(): void {
    const writer = this.#writer;
    const modules = "metadata" in this.#stateDict ? this.#stateDict.metadata : undefined;
    if (modules === undefined || modules.size === 0) return;
    writer.dict().items([0], () => {
      writer.text("_metadata").orderedDict();
      writer.items(modules, ([path, fields]) => {
        writer.text(path).dict();
        writer.items(Object.entries(fields), ([field, value]) => {
          writer.repeatedText(field);
          this.#values.write(`_metadata of ${path}`, value);
        });
      });
    });
    writer.build();
  }

  #tensor(name: string, tensor: Tensor): void {
    requireDtype(name, tensor);
    const place = this.#placeOf(tensor);
    if (place === undefined) this.#metaTensor(tensor);
    else this.#storedTensor(tensor, place);
  }

  #storedTensor(tensor: Tensor, place: Place): void {
    const writer = this.#writer;
    const typed = storageClass(place);
    const flags = [...(tensor.conj ? ["conj"] : []), ...(tensor.neg ? ["neg"] : [])];
    writer.global("torch._utils", typed === undefined ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2");
    writer.tuple(6 + (typed === undefined ? 1 : 0) + (flags.length > 0 ? 1 : 0), () => {
      this.#storage(place, typed);
      writer.integer(tensor.storageOffset).integers(tensor.shape).integers(tensor.stride);
      writer.boolean(tensor.requiresGrad).orderedDict();
      if (typed === undefined) writer.global("torch", tensor.dtype);
      if (flags.length > 0)
        writer.dict().items(flags, (flag) => {
          writer.text(flag).boolean(true);
        });
    });
    writer.reduce();
  }

  #metaTensor(tensor: Tensor): void {
    const writer = this.#writer;
    writer.global("torch._utils", "_rebuild_meta_tensor_no_storage").tuple(4, () => {
      writer.global("torch", tensor.dtype).integers(tensor.shape).integers(tensor.stride).boolean(tensor.requiresGrad);
    });
    writer.reduce();
  }

  #storage({ index, storage, dtypes }: Place, typed: string | undefined): void {
    const writer = this.#writer;
    const [dtype] = dtypes;
    writer.tuple(5, () => {
      writer.repeatedText("storage");
      if (typed === undefined) writer.global("torch.storage", "UntypedStorage");
      else writer.global("torch", typed);
      writer.text(String(index)).repeatedText("cpu");
      writer.integer(typed === undefined || dtype === undefined ? storage.nbytes : storage.nbytes / bytesOf(dtype, 1));
    });
    writer.persistentId();
  }

  /** Undefined for a tensor without bytes. Storages are the same when they are the same run of the same memory. */
  #placeOf({ storage }: Tensor): Place | undefined {
    if (storage.buffer === null) return undefined;
    const runs = this.#places.get(storage.buffer) ?? new Map<string, Place>();
    this.#places.set(storage.buffer, runs);
    const run = `${storage.byteOffset}+${storage.nbytes}`;
    const place = runs.get(run) ?? { index: this.#storages.length, storage, dtypes: new Set() };
    if (place.index === this.#storages.length) this.#storages.push(storage);
    runs.set(run, place);
    return place;
  }
}

/** The one class that describes all views of a storage; undefined when only an untyped storage can. */
function storageClass({ storage, dtypes }: Place): string | undefined {
  const [dtype, another] = dtypes;
  if (dtype === undefined || another !== undefined || storage.nbytes % bytesOf(dtype, 1) !== 0) return undefined;
  return STORAGE_CLASSES.get(dtype);
}

/** Quantised tensors need a scale that a tensor here does not carry, and torch has no 6-bit floats. */
function requireDtype(name: string, tensor: Tensor): void {
  const { kind, bits } = traitsOf(tensor.dtype);
  if (kind !== "quantised" && bits % 8 === 0) return;
  throw new CheckpointError("RANKCAST_SAVE_DTYPE", `${quote(name)}: a torch file cannot hold ${tensor} from here`, {
    details: { key: name, dtype: tensor.dtype },
    remedy: "Cast the tensor to a float type first.",
  });
}
