/**
 * Copies that a replica makes while the rest of its weights is still being downloaded: tensors that a load would have to cast or to lay out anew. They
 * are read from the files as they grow, into memory of their own; the model is not touched, and nobody sees them before a plan takes them over.
 *
 *     foreseen: planned as the load will be ─► copied, storage by storage, as they come ─► handed over to the load's own plan
 */
import { closeSync, openSync, readSync } from "node:fs";
import {
  compileLimits,
  DistributionError,
  type DType,
  type Limits,
  type Module,
  moduleFromStateDict,
  reviseKeys,
  Storage,
  Tensor,
} from "@rankcast/core";
import {
  allocateShared,
  bindStateDict,
  bytesOf,
  castedCopy,
  copyInto,
  decodeManifest,
  isContiguous,
  moduleTree,
  type PlannedKey,
  planStateDict,
  type StateDictPlan,
} from "@rankcast/core/runtime";
import type { ReplicaLoadOptions } from "./replica-host.ts";

/** Weights that are arriving. Plain data; crosses threads by structured clone. */
export interface Foreseen {
  readonly sequence: number;
  /** msgpack of the manifest, in shared memory. */
  readonly manifest: Uint8Array<SharedArrayBuffer>;
  readonly limits: Readonly<Record<string, number>>;
  /** Paths of files that storages lie in. */
  readonly files: readonly string[];
  /** Two numbers per storage: index into `files`, -1 for one that cannot be read yet, and byte offset. */
  readonly flat: readonly number[];
  /** The type that the node itself casts to. */
  readonly castTo: DType | null;
}

/** Read at a time: stays in a processor's cache until it is cast. */
const RUN_BYTES = 2 ** 20;

interface Wanted {
  readonly planned: PlannedKey;
  readonly storage: number;
}

interface Copy extends Wanted {
  readonly tensor: Tensor;
}

/** See the module comment. */
export class AheadCopies {
  readonly sequence: number;
  readonly #plan: StateDictPlan;
  readonly #flat: readonly number[];
  readonly #files: number[] = [];
  /** What is read lands here; every source of the plan looks at it. */
  readonly #scratch: SharedArrayBuffer;
  readonly #wanted = new Map<number, Wanted[]>();
  readonly #copies = new Map<string, Copy>();

  /**
   * Plans.
   * @throws {CheckpointError} whatever forbids the load, or a file that is gone: the load itself says so better.
   */
  constructor(model: Module | null, foreseen: Foreseen, options: ReplicaLoadOptions) {
    const limits = compileLimits(foreseen.limits);
    const manifest = decodeManifest(foreseen.manifest, limits);
    this.sequence = foreseen.sequence;
    this.#flat = foreseen.flat;
    this.#scratch = allocateShared(Math.max(1, ...manifest.storages.map(({ nbytes, meta }) => (meta ? 0 : nbytes))));
    const storages = manifest.storages.map(({ nbytes }) => new Storage(this.#scratch, 0, nbytes));
    const { stateDict } = reviseKeys(bindStateDict(manifest, storages), options.revKeys, { onCollision: options.onCollision ?? "error" });
    this.#plan = planStateDict(model ?? moduleFromStateDict(stateDict, { meta: true }), stateDict, options);
    this.#choose(new Map(storages.map((storage, index) => [storage, index])), foreseen.castTo, limits);
    if (this.#wanted.size > 0) for (const path of foreseen.files) this.#files.push(openSync(path, "r"));
  }

  /** Storages that something is copied from. */
  get storages(): readonly number[] {
    return [...this.#wanted.keys()];
  }

  /** Copies from storages that are here. @throws {TensorError} RANKCAST_MEMORY_FULL; an error of the file system. */
  copy(storages: readonly number[]): void {
    for (const storage of storages) {
      for (const each of this.#wanted.get(storage) ?? []) {
        this.#copies.set(each.planned.plan.key, { ...each, tensor: this.#copyOf(each) });
      }
      this.#wanted.delete(storage);
    }
  }

  /** Gives `plan` the copies of what it would copy from `storages`, those of the same manifest; returns their number. */
  handOver(plan: StateDictPlan, storages: readonly Storage[]): number {
    const before = plan.staged.size;
    const indices = new Map(storages.map((storage, index) => [storage, index]));
    for (const planned of plan.planned) {
      const copy = this.#copies.get(planned.plan.key);
      if (copy && indices.get(planned.source.storage) === copy.storage && isSameCopy(planned, copy.planned)) {
        plan.staged.set(planned, copy.tensor);
      }
    }
    return plan.staged.size - before;
  }

  /** Closes files and lets go of copies that nobody took. Safe to call twice. */
  close(): void {
    for (const fd of this.#files.splice(0)) closeSync(fd);
    this.#copies.clear();
    this.#wanted.clear();
  }

  #choose(indices: ReadonlyMap<Storage, number>, castTo: DType | null, limits: Limits): void {
    let asideBytes = 0;
    for (const planned of this.#plan.planned) {
      const storage = indices.get(planned.source.storage);
      if (storage === undefined || (this.#flat[2 * storage] ?? -1) < 0 || !isWorthCopying(planned, castTo)) continue;
      // What takes a place of the model costs no memory beyond the load's own; what is written into one does until then.
      if (planned.plan.mode === "copy") asideBytes += bytesOf(planned.plan.dtype, planned.source.elementCount);
      if (asideBytes > limits.replicaAheadBytes) continue;
      const known = this.#wanted.get(storage);
      if (known) known.push({ planned, storage });
      else this.#wanted.set(storage, [{ planned, storage }]);
    }
  }

  #copyOf({ planned: { plan, source }, storage }: Wanted): Tensor {
    const fd = this.#files[this.#flat[2 * storage] ?? -1];
    const begin = this.#flat[2 * storage + 1] ?? 0;
    if (fd === undefined) throw new DistributionError("RANKCAST_PROTOCOL", "a storage of no file has arrived", {});
    const read = (at: number, target: Uint8Array): void => readWhole(fd, begin + at, target);
    if (isPlainRun(source)) return this.#castRuns(source, plan.dtype, read);
    read(0, new Uint8Array(this.#scratch, 0, source.storage.nbytes));
    return castedCopy(source, plan.dtype, this.#plan.allocate);
  }

  /** Row-major sources run by run: no more than a run of them is in memory beside the copy. */
  #castRuns(source: Tensor, dtype: DType, read: (at: number, target: Uint8Array) => void): Tensor {
    const { dtype: from, elementCount, shape, storageOffset, savedDevice } = source;
    const target = this.#plan.allocate(bytesOf(dtype, elementCount));
    const step = from === dtype ? STEP_ELEMENTS_MAX : Math.max(1, Math.floor(RUN_BYTES / bytesOf(from, 1)));
    for (let first = 0; first < elementCount; first += step) {
      const count = Math.min(step, elementCount - first);
      const at = bytesOf(from, storageOffset + first);
      const goal = new Storage(target.buffer, target.byteOffset + bytesOf(dtype, first), bytesOf(dtype, count));
      if (from === dtype) {
        read(at, goal.bytes());
        continue;
      }
      const run = new Storage(this.#scratch, 0, bytesOf(from, count));
      read(at, run.bytes());
      copyInto(new Tensor({ dtype, shape: [count], storage: goal }), new Tensor({ dtype: from, shape: [count], storage: run }));
    }
    return new Tensor({ dtype, shape, storage: target, savedDevice });
  }
}

/** A view of so many elements of any type is one that Node 20 can show. */
const STEP_ELEMENTS_MAX = 2 ** 27;

/** Why copies cannot be made ahead; null when they can: a module's own code and measured casts look at values. */
export function canCopyAhead(model: Module | null, options: ReplicaLoadOptions): boolean {
  return !options.measureCasts && (model === null || !moduleTree(model).hasOwnLoading);
}

function isPlainRun({ conj, neg, shape, stride }: Tensor): boolean {
  return !conj && !neg && isContiguous(shape, stride);
}

/**
 * Whether the copy costs more than what is left to do for it at the commit: a new tensor takes its place, another is written from it. That is a plain
 * copy again, so what is one already stays where it is.
 */
function isWorthCopying({ plan, source, held }: PlannedKey, castTo: DType | null): boolean {
  if (source.elementCount === 0 || source === held) return false;
  if (plan.mode === "fresh") return !(plan.dtype === castTo && source.dtype !== castTo && isPlainRun(source));
  if (plan.mode !== "copy") return false;
  return source.dtype !== plan.dtype || (!isPlainRun(source) && plan.heldShape !== null && isContiguous(plan.heldShape, plan.heldStride));
}

function isSameCopy(a: PlannedKey, b: PlannedKey): boolean {
  const [one, other] = [a.source, b.source];
  return (
    a.plan.mode === b.plan.mode &&
    a.plan.dtype === b.plan.dtype &&
    one.dtype === other.dtype &&
    one.storageOffset === other.storageOffset &&
    one.conj === other.conj &&
    one.neg === other.neg &&
    isEqual(one.shape, other.shape) &&
    isEqual(one.stride, other.stride)
  );
}

function isEqual(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}

function readWhole(fd: number, position: number, target: Uint8Array): void {
  for (let done = 0; done < target.length; ) {
    const read = readSync(fd, target, done, Math.min(target.length - done, READ_BYTES_MAX), position + done);
    if (read === 0) throw new RangeError(`a file that is arriving ends at byte ${position + done}`);
    done += read;
  }
}

const READ_BYTES_MAX = 2 ** 30;
