/**
 * Copy-on-write views of file descriptors. Each is laid over the pages of a shared WebAssembly memory (ADR 19), because
 * V8 then owns the address range: it is unmapped with the last view in whatever thread holds it, a thread that ends gives it back, and nobody can
 * detach it. V8 also counts such memory nowhere, so that mapping a gigabyte does not start a garbage collection in the middle of a load; `settle`
 * makes up for that later.
 *
 * Where there is no WebAssembly memory to be had (`--jitless`, a bound on address space) the mapping is a plain ArrayBuffer whose
 * finalizer unmaps it.
 */
import type { Koffi, NativeFunction } from "./koffi.ts";
import { PAGE_BYTES, pageReader, type ReadPages, rehearseReader } from "./page-reader.ts";

/** Bytes of a mapping, somewhere in a buffer that may be larger. */
export interface MappedBytes {
  readonly buffer: ArrayBufferLike;
  readonly byteOffset: number;
  readonly nbytes: number;
}

/** What this file does, as part of the kernel door; see `NativeMemory`. */
export interface PrivateMappings {
  mapPrivate(fd: number, offset: number, nbytes: number): MappedBytes;
  isMapped(buffer: ArrayBufferLike | null): boolean;
  forgetWrites(buffer: ArrayBufferLike): void;
  unmap(buffer: ArrayBufferLike | null): void;
  plainView(buffer: ArrayBufferLike): MappedBytes | null;
  readPages(bytes: Uint8Array): number | null;
  settle(): void;
}

/** The system calls behind it. */
export interface MapCalls {
  /** @throws {TensorError} RANKCAST_MEMORY_MAP when the kernel refuses. */
  map(at: bigint | null, nbytes: number, flags: number, fd: number, offset: number): bigint;
  readonly munmap: NativeFunction;
  readonly madvise: NativeFunction;
  /** The error of a call that failed just now. */
  failed(call: string, nbytes: number): Error;
}

const MAP_PRIVATE = 2;
const MAP_FIXED = 16;
const [MAP_ANONYMOUS, MAP_NORESERVE] = process.platform === "linux" ? [32, 0x4000] : [0x1000, 0x40];
const MADV_DONTNEED = 4;
const MADV_HUGEPAGE = 14;
/** What was mapped so long ago belongs to an earlier load than what is mapped now: a load maps all its segments one after the other. */
const EARLIER_LOAD_MS = 1000;
const WASM_PAGE_BYTES = 65_536;
const WASM_BYTES_MAX = 2 ** 32;
/** Where address and file offset agree modulo this, the kernel maps large pages of the page cache whole: 512 faults instead of 262 144 per GiB. */
const HUGE_PAGE_BYTES = 2 ** 21;

const NO_BUFFER = new ArrayBuffer(0);

interface Mapping extends MappedBytes {
  readonly pointer: bigint;
  /** What the bytes lie over; null for a plain ArrayBuffer. */
  readonly memory: WasmMemory | null;
  /** Made when it is first needed. */
  reader?: ReadPages;
}

/** Binds the calls. One per thread: what is mapped here is known here. */
export function bindPrivateMappings(koffi: Koffi, { map, munmap, madvise, failed }: MapCalls): PrivateMappings {
  const mappings = new WeakMap<ArrayBufferLike, Mapping>();
  // Each keeps the other alive: a view must not outlive the memory, and the memory is what the view makes V8 count.
  const views = new WeakMap<ArrayBufferLike, MappedBytes>();
  const owners = new WeakMap<ArrayBufferLike, ArrayBufferLike>();
  const unsettled = new Unsettled();
  const live = new FinalizationRegistry<{ pointer: bigint; nbytes: number }>(({ pointer, nbytes }) => munmap(pointer, nbytes));

  const overMemory = (memory: WasmMemory, fd: number, offset: number, nbytes: number): Mapping => {
    const { buffer } = memory;
    const base = koffi.address(new Uint8Array(buffer));
    const byteOffset = shiftToHugePage(base, offset, buffer.byteLength - nbytes);
    const pointer = map(base + BigInt(byteOffset), nbytes, MAP_PRIVATE | MAP_FIXED, fd, offset);
    unsettled.add(buffer);
    return { buffer, byteOffset, nbytes, pointer, memory };
  };
  const asPlainBuffer = (fd: number, offset: number, nbytes: number): Mapping => {
    const pointer = map(null, nbytes, MAP_PRIVATE, fd, offset);
    const buffer = koffi.view(pointer, nbytes);
    live.register(buffer, { pointer, nbytes });
    return { buffer, byteOffset: 0, nbytes, pointer, memory: null };
  };
  const viewOf = (mapping: Mapping): MappedBytes => {
    const known = views.get(mapping.buffer);
    if (known) return known;
    const buffer = koffi.view(mapping.pointer, mapping.nbytes);
    const view = { buffer, byteOffset: mapping.byteOffset, nbytes: mapping.nbytes };
    views.set(mapping.buffer, view);
    owners.set(buffer, mapping.buffer);
    return view;
  };
  const settle = (ageMsMin: number): void => {
    for (const buffer of unsettled.take(ageMsMin)) {
      const mapping = mappings.get(buffer);
      if (mapping) viewOf(mapping);
    }
  };
  return {
    mapPrivate(fd, offset, nbytes) {
      // Not what this load has mapped: of two gigabytes V8 would collect garbage for 16 ms in its middle.
      settle(EARLIER_LOAD_MS);
      const memory = reserve(nbytes);
      const mapping = memory ? overMemory(memory, fd, offset, nbytes) : asPlainBuffer(fd, offset, nbytes);
      // A file that is not in memory comes in pages of 2 MiB, read in one go each. Where the kernel cannot, it says so and nothing is lost.
      if (nbytes >= HUGE_PAGE_BYTES && process.platform === "linux") madvise(mapping.pointer, nbytes, MADV_HUGEPAGE);
      mappings.set(mapping.buffer, mapping);
      return mapping;
    },
    isMapped: (buffer) => buffer !== null && mappings.has(buffer),
    forgetWrites(buffer) {
      const mapping = mappings.get(buffer);
      if (!mapping || madvise(mapping.pointer, mapping.nbytes, MADV_DONTNEED) !== 0)
        throw failed("madvise(MADV_DONTNEED)", buffer.byteLength);
    },
    unmap(buffer) {
      const mapping = mappings.get(buffer ?? NO_BUFFER);
      if (!mapping) return;
      unsettled.forget(mapping.buffer);
      // The address range is V8's (or its finalizer's): only what lies on it goes.
      map(mapping.pointer, mapping.nbytes, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    },
    plainView(buffer) {
      const mapping = mappings.get(buffer);
      return mapping && buffer instanceof SharedArrayBuffer ? viewOf(mapping) : null;
    },
    readPages: (bytes) => readMapped(mappings.get(bytes.buffer), bytes),
    settle: () => settle(0),
  };
}

/** Where in `slack` spare bytes behind `base` large pages of the file fit; 0 where they do not. */
function shiftToHugePage(base: bigint, offset: number, slack: number): number {
  const shift = Number((BigInt(offset) - base) & BigInt(HUGE_PAGE_BYTES - 1));
  return shift <= slack ? shift : 0;
}

/** Buffers that V8 does not count yet, in the order in which they were mapped. */
class Unsettled {
  readonly #buffers: { readonly buffer: WeakRef<ArrayBufferLike>; readonly mappedMs: number }[] = [];

  add(buffer: ArrayBufferLike): void {
    this.#buffers.push({ buffer: new WeakRef(buffer), mappedMs: performance.now() });
  }

  /** What was unmapped would be as large to V8 as before: a later load would begin with a collection of nothing. */
  forget(buffer: ArrayBufferLike): void {
    const at = this.#buffers.findIndex((each) => each.buffer.deref() === buffer);
    if (at >= 0) this.#buffers.splice(at, 1);
  }

  /** Those that were mapped at least `ageMsMin` ago and are still there, once. */
  take(ageMsMin: number): ArrayBufferLike[] {
    const latestMs = performance.now() - ageMsMin;
    const younger = this.#buffers.findIndex(({ mappedMs }) => mappedMs > latestMs);
    const due = this.#buffers.splice(0, younger < 0 ? this.#buffers.length : younger);
    return due.flatMap(({ buffer }) => buffer.deref() ?? []);
  }
}

function readMapped(mapping: Mapping | undefined, { byteOffset, byteLength }: Uint8Array): number | null {
  if (!mapping?.memory || byteLength === 0) return null;
  mapping.reader ??= pageReader(mapping.memory);
  // The memory begins on a page, and so does whatever is mapped over it.
  const begin = byteOffset - (byteOffset % PAGE_BYTES);
  return mapping.reader(begin, Math.ceil((byteOffset + byteLength - begin) / PAGE_BYTES));
}

/** Has the engine do what it would do in the first `readPages` of a large mapping. One thread of a process is enough. */
export function rehearsePageReads(): void {
  const memory = reserve(WASM_PAGE_BYTES);
  if (memory) rehearseReader(memory);
}

/** A shared WebAssembly memory. */
interface WasmMemory {
  readonly buffer: SharedArrayBuffer;
}

/** The one part of the engine's interface that is used; TypeScript has it with the DOM only. */
interface EngineWithMemory {
  readonly WebAssembly?: { readonly Memory: new (limits: { initial: number; maximum: number; shared: true }) => WasmMemory };
}

/** Address space for `nbytes` with room to move them to a boundary of large pages; null where there is none. */
function reserve(nbytes: number): WasmMemory | null {
  const exact = Math.ceil(nbytes / WASM_PAGE_BYTES);
  const roomy = nbytes < HUGE_PAGE_BYTES ? exact : exact + HUGE_PAGE_BYTES / WASM_PAGE_BYTES;
  const pages = Math.min(roomy, WASM_BYTES_MAX / WASM_PAGE_BYTES);
  const { WebAssembly: engine } = globalThis as EngineWithMemory;
  if (pages < exact || !engine) return null;
  try {
    return new engine.Memory({ initial: pages, maximum: pages, shared: true });
  } catch {
    return null;
  }
}
