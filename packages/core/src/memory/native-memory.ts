/**
 * The one door to `mmap` and `memfd_create` (koffi, an optional dependency with prebuilt binaries). Everything works without it, with
 * one more copy; see `attach-storages.ts`.
 *
 * Two facts decide the rules here: a store into a mapping of a file that was truncated kills the process (SIGBUS, no exception), so only
 * immutable files and sealed memory are ever mapped; and `MAP_POPULATE` on a writable private mapping copies every page, so it is never used.
 */
import { createRequire } from "node:module";
import { TensorError } from "../errors/checkpoint-error.ts";
import { bindCachedRead, type ReadCached } from "./cached-read.ts";
import type { Koffi, Library } from "./koffi.ts";
import { bindPoolChecksum, type PoolChecksum } from "./pool-checksum.ts";
import { bindPrivateMappings, type MappedBytes } from "./private-mapping.ts";

const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MFD_CLOEXEC_ALLOW_SEALING = 3;
const F_ADD_SEALS = 1033;
const SEAL_SHRINK_GROW_WRITE = 2 | 4 | 8;
// F_SEAL_FUTURE_WRITE (Linux 5.1): mappings that exist may go on writing, nobody can get a new one.
const SEAL_SHRINK_GROW_FUTURE_WRITE = 2 | 4 | 16;
const SEAL_SHRINK_GROW = 2 | 4;
/** Linux 5.14; others know no such advice. */
const MADV_POPULATE_READ = 22;
const MADV_POPULATE_WRITE = 23;
/** A kernel with larger pages refuses what is not aligned to them; then pages come as they always do. */
const PAGE_BYTES = 4096n;
const EFAULT = 14;
const MAP_FAILED = 0xffffffffffffffffn;

/** Offsets of mappings must be multiples of this (largest page size of the platforms we run on). */
export const MAP_ALIGNMENT_BYTES = 65_536;

/** A window that the owner unmaps by hand, after dropping every view of it. */
export interface HeldMapping {
  readonly buffer: ArrayBuffer;
  unmap(): void;
}

/** What the kernel offers beyond `node:fs`. */
export interface NativeMemory {
  /**
   * Copy-on-write view of a file descriptor: pages are shared until written. Unmapped when the last view of the buffer is collected, whichever
   * thread holds it.
   * @throws {TensorError} RANKCAST_MEMORY_MAP when the kernel refuses.
   */
  mapPrivate(fd: number, offset: number, nbytes: number): MappedBytes;
  /** Whether this thread has made the buffer with `mapPrivate`: memory of its own although it may be a SharedArrayBuffer. */
  isMapped(buffer: ArrayBufferLike | null): boolean;
  /**
   * Drops what was written to a view of `mapPrivate`: its next reads show what the memory file holds by then.
   * @throws {TensorError} RANKCAST_MEMORY_MAP for any other buffer, or when the kernel refuses.
   */
  forgetWrites(buffer: ArrayBufferLike): void;
  /**
   * Takes the bytes of `mapPrivate` away now: views show zeros from then on. Of other buffers nothing.
   * @throws {TensorError} RANKCAST_MEMORY_MAP when the kernel refuses.
   */
  unmap(buffer: ArrayBufferLike | null): void;
  /**
   * The same bytes as a plain ArrayBuffer, for libraries that take no shared one: it begins at `byteOffset` of `buffer` and keeps that alive. Null
   * where there is nothing to do.
   */
  plainView(buffer: ArrayBufferLike): MappedBytes | null;
  /**
   * Reads a byte of every page that `bytes` lie on and gives their sum; null where `bytes` are no view of `mapPrivate` or there is no fast way.
   * Populate them first: a file that is shorter by now kills the process.
   */
  readPages(bytes: Uint8Array): number | null;
  /**
   * Lets V8 count what was mapped since the last call. It collects garbage when it hears of a gigabyte, which must happen some time, or
   * mappings that nobody needs stay; but not while others wait for this rank.
   */
  settle(): void;
  /** Takes the pages of `nbytes` bytes of fresh memory, of which `first` is the beginning; content stays. Where the kernel cannot, nothing happens. */
  populate(first: Uint8Array, nbytes: number): void;
  /**
   * Maps every page that `bytes` lie on, as reading each of them would, in one call; false where the kernel cannot, and nothing has happened then.
   * @throws {TensorError} RANKCAST_MEMORY_MAP when there are no such bytes any more: reading them would kill the process.
   */
  populateForReading(bytes: Uint8Array): boolean;
  /** The same for reading, unmapped by hand: memory that waits for a collection to be given back is missing for the next segment. */
  mapForReading(fd: number, offset: number, nbytes: number): HeldMapping;
  /** Shared view for filling memory that is not yet published. @throws {TensorError} RANKCAST_MEMORY_MAP when the kernel refuses. */
  mapShared(fd: number, nbytes: number): HeldMapping;
  /**
   * Anonymous memory with a descriptor. `reserve`: all pages are taken (and zeroed) now, so that stores through a mapping cannot fail later;
   * without it pages come when `write` fills them, which touches each once.
   * @throws {TensorError} RANKCAST_MEMORY_FULL when the machine has not that much.
   */
  createMemoryFile(name: string, nbytes: number, reserve: boolean): number;
  /** Forbids any further change of size or content. No writable shared mapping may exist. @throws {TensorError} RANKCAST_MEMORY_MAP when one does. */
  seal(fd: number): void;
  /**
   * Forbids any further change of size, and any new way to write: mappings of `mapShared` that exist stay writable. For memory whose one
   * writer fills it again and again. @throws {TensorError} RANKCAST_MEMORY_MAP when the kernel refuses.
   */
  sealForOthers(fd: number): void;
  /** Closes a descriptor of `createMemoryFile`: Node did not open it and would warn in worker threads. */
  close(fd: number): void;
  /** Small reads without a turn of the thread pool, which costs ten times what the read does. */
  readonly readCached: ReadCached;
  /** CRC-32 on threads that are there anyway; null where this Node has no function for it. */
  poolChecksum(): PoolChecksum | null;
  /** Where the first byte of a view lies in this process. */
  addressOf(view: Uint8Array): bigint;
  /** Copies bytes that do not overlap, between addresses of this process. Nothing is checked: the caller vouches for both sides until it returns. */
  copyBytes(target: bigint, source: bigint, nbytes: number): void;
  /** Ends the process now, without waiting for its threads: for one whose thread hangs in a system call. */
  exit(code: number): void;
}

const LIBRARY_NAMES = ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1", "libSystem.B.dylib"];

let loaded: NativeMemory | null | undefined;

/** The kernel door, or null where koffi is not installed, the platform has no `mmap`, or `disabled` is set. Loaded once per thread. */
export function nativeMemory(disabled: boolean): NativeMemory | null {
  if (disabled || process.platform === "win32") return null;
  if (loaded === undefined) loaded = open();
  return loaded;
}

/** The door if this thread has opened it before: for what is not worth opening it. */
export function openedNativeMemory(): NativeMemory | null {
  return loaded ?? null;
}

function open(): NativeMemory | null {
  try {
    const koffi = createRequire(import.meta.url)("koffi") as Koffi;
    return bind(koffi, loadLibrary(koffi));
  } catch {
    // Absent optional dependency or unknown C library: the portable path takes over and `doctor` says so.
    return null;
  }
}

function loadLibrary(koffi: Koffi): Library {
  for (const name of LIBRARY_NAMES) {
    try {
      return koffi.load(name);
    } catch {
      // Another C library: try the next name.
    }
  }
  throw new Error("no known C library");
}

function bind(koffi: Koffi, libc: Library): NativeMemory {
  const mmap = libc.func("void *mmap(void *addr, size_t length, int prot, int flags, int fd, int64_t offset)");
  const munmap = libc.func("int munmap(void *addr, size_t length)");
  const madvise = libc.func("int madvise(void *addr, size_t length, int advice)");
  const memcpy = libc.func("void *memcpy(void *target, void *source, size_t length)");
  const map = (at: bigint | null, nbytes: number, flags: number, fd: number, offset: number): bigint => {
    const pointer = mmap(at, nbytes, PROT_READ_WRITE, flags, fd, offset) as bigint;
    if (pointer === MAP_FAILED) throw mapError("mmap", koffi.errno(), nbytes);
    return pointer;
  };
  const failed = (call: string, nbytes: number): TensorError => mapError(call, koffi.errno(), nbytes);
  let checksum: { readonly bound: PoolChecksum | null } | undefined;
  const populate = (first: Uint8Array, nbytes: number, advice: number): boolean => {
    if (process.platform !== "linux") return false;
    const address = koffi.address(first);
    const begin = address - (address % PAGE_BYTES);
    return madvise(begin, Number(address - begin) + nbytes, advice) === 0;
  };
  return {
    ...bindPrivateMappings(koffi, { map, munmap, madvise, failed }),
    populate: (first, nbytes) => void populate(first, nbytes, MADV_POPULATE_WRITE),
    populateForReading(bytes) {
      if (populate(bytes, bytes.byteLength, MADV_POPULATE_READ)) return true;
      if (process.platform === "linux" && koffi.errno() === EFAULT) throw failed("madvise(MADV_POPULATE_READ)", bytes.byteLength);
      return false;
    },
    mapForReading(fd, offset, nbytes) {
      const pointer = map(null, nbytes, MAP_PRIVATE, fd, offset);
      return { buffer: koffi.view(pointer, nbytes), unmap: () => void munmap(pointer, nbytes) };
    },
    mapShared(fd, nbytes) {
      const pointer = map(null, nbytes, MAP_SHARED, fd, 0);
      return { buffer: koffi.view(pointer, nbytes), unmap: () => void munmap(pointer, nbytes) };
    },
    poolChecksum() {
      checksum ??= { bound: bindPoolChecksum(koffi) };
      return checksum.bound;
    },
    readCached: bindCachedRead(koffi, libc),
    addressOf: (view) => koffi.address(view),
    copyBytes: (target, source, nbytes) => void memcpy(target, source, nbytes),
    exit: (code) => void libc.func("void _exit(int status)")(code),
    ...(process.platform === "linux"
      ? bindMemoryFiles(koffi, libc)
      : { createMemoryFile: unsupported, seal: unsupported, sealForOthers: unsupported, close: unsupported }),
  };
}

function bindMemoryFiles(koffi: Koffi, libc: Library): Pick<NativeMemory, "createMemoryFile" | "seal" | "sealForOthers" | "close"> {
  const memfdCreate = libc.func("int memfd_create(const char *name, unsigned int flags)");
  const fallocate = libc.func("int fallocate(int fd, int mode, int64_t offset, int64_t length)");
  const ftruncate = libc.func("int ftruncate(int fd, int64_t length)");
  const fcntl = libc.func("int fcntl(int fd, int command, int argument)");
  const close = libc.func("int close(int fd)");
  return {
    createMemoryFile(name, nbytes, reserve) {
      // The kernel would go on allocating until it kills somebody: what cannot fit must be refused before.
      const available = process.availableMemory();
      if (nbytes > available) throw memoryFull(nbytes, `${available} bytes are available`, { available });
      const fd = memfdCreate(name, MFD_CLOEXEC_ALLOW_SEALING) as number;
      if (fd < 0) throw mapError("memfd_create", koffi.errno(), nbytes);
      // Reserving now turns "memory ran out" into an error here instead of a SIGBUS while bytes arrive.
      if ((reserve ? fallocate(fd, 0, 0, nbytes) : ftruncate(fd, nbytes)) !== 0) {
        const errno = koffi.errno();
        close(fd);
        throw memoryFull(nbytes, `errno ${errno}`, { errno });
      }
      return fd;
    },
    seal(fd) {
      if (fcntl(fd, F_ADD_SEALS, SEAL_SHRINK_GROW_WRITE) !== 0) throw mapError("fcntl(F_ADD_SEALS)", koffi.errno(), 0);
    },
    sealForOthers(fd) {
      // A kernel before 5.1 knows no such seal: size is what could kill a reader, so that one is never left out.
      if (fcntl(fd, F_ADD_SEALS, SEAL_SHRINK_GROW_FUTURE_WRITE) === 0 || fcntl(fd, F_ADD_SEALS, SEAL_SHRINK_GROW) === 0) return;
      throw mapError("fcntl(F_ADD_SEALS)", koffi.errno(), 0);
    },
    close: (fd) => void close(fd),
  };
}

function unsupported(): never {
  throw new TensorError("RANKCAST_MEMORY_MAP", `${process.platform} has no memory files`, { details: { platform: process.platform } });
}

function memoryFull(nbytes: number, why: string, details: { readonly [name: string]: number }): TensorError {
  return new TensorError("RANKCAST_MEMORY_FULL", `the machine has no ${nbytes} bytes of shared memory left (${why})`, {
    details: { nbytes, ...details },
  });
}

function mapError(call: string, errno: number, nbytes: number): TensorError {
  return new TensorError("RANKCAST_MEMORY_MAP", `${call} of ${nbytes} bytes failed with errno ${errno}`, {
    details: { call, errno, nbytes },
  });
}
