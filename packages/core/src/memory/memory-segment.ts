/** Making a segment: reserve, fill, publish, release. */

import { closeSync, constants, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TensorError } from "../errors/checkpoint-error.ts";
import { allocateShared } from "../tensor/allocate-buffer.ts";
import type { HeldMapping, NativeMemory } from "./native-memory.ts";
import type { SegmentDescriptor } from "./segment.ts";

/** Memory being filled by its one writer. */
export interface MemorySegment {
  readonly nbytes: number;
  /** The bytes to fill. Must not be touched after `publish`: a mapped one is gone then. */
  readonly buffer: ArrayBufferLike;
  /**
   * Seals the bytes and says how others reach them.
   * @throws {TensorError} RANKCAST_MEMORY_FULL when the portable path finds no room.
   */
  publish(): SegmentDescriptor;
  /** Gives the memory back once every consumer has detached. Safe to call twice. */
  release(): void;
}

/**
 * Memory that its one writer fills again and again, each time after every reader has let go of what it held (law L4 per generation): mapped
 * here for as long as it lives, readable by others, writable by nobody else. Linux with the kernel door open only.
 * @throws {TensorError} RANKCAST_MEMORY_FULL when there is not enough memory.
 */
export function createRewritableSegment(nbytes: number, native: NativeMemory): MemorySegment {
  const fd = native.createMemoryFile("rankcast", nbytes, true);
  let mapping: HeldMapping | null = native.mapShared(fd, nbytes);
  let isSealed = false;
  const { buffer } = mapping;
  return {
    nbytes,
    buffer,
    publish() {
      if (!isSealed) native.sealForOthers(fd);
      isSealed = true;
      return { kind: "memfd", path: `/proc/${process.pid}/fd/${fd}`, nbytes };
    },
    release() {
      if (mapping === null) return;
      mapping.unmap();
      mapping = null;
      native.close(fd);
    },
  };
}

/**
 * A segment of `nbytes` bytes: a sealed memfd where the kernel door is open, else a shared buffer that `publish` writes to an unlinked
 * file. Nothing has a name that could outlive this process.
 * @throws {TensorError} RANKCAST_MEMORY_FULL when there is not enough memory.
 */
export function createMemorySegment(nbytes: number, native: NativeMemory | null): MemorySegment {
  return native && process.platform === "linux" ? mappedSegment(nbytes, native) : bufferedSegment(nbytes);
}

function mappedSegment(nbytes: number, native: NativeMemory): MemorySegment {
  const fd = native.createMemoryFile("rankcast", nbytes, true);
  let mapping: HeldMapping | null = native.mapShared(fd, nbytes);
  let open = true;
  return {
    nbytes,
    buffer: mapping.buffer,
    publish() {
      mapping?.unmap();
      mapping = null;
      native.seal(fd);
      return { kind: "memfd", path: `/proc/${process.pid}/fd/${fd}`, nbytes };
    },
    release() {
      mapping?.unmap();
      mapping = null;
      if (open) native.close(fd);
      open = false;
    },
  };
}

function bufferedSegment(nbytes: number): MemorySegment {
  const buffer = allocateShared(nbytes);
  let fd: number | null = null;
  return {
    nbytes,
    buffer,
    publish() {
      fd ??= writeUnlinked(buffer);
      return { kind: "memfd", path: `/proc/${process.pid}/fd/${fd}`, nbytes };
    },
    release() {
      if (fd !== null) closeSync(fd);
      fd = null;
    },
  };
}

const WRITE_BYTES_MAX = 2 ** 30;

/** Writes to an unlinked file and returns its descriptor. */
function writeUnlinked(buffer: SharedArrayBuffer): number {
  const fd = openUnlinked(buffer.byteLength);
  try {
    for (let at = 0; at < buffer.byteLength; ) {
      at += writeSync(fd, new Uint8Array(buffer, at, Math.min(buffer.byteLength - at, WRITE_BYTES_MAX)));
    }
  } catch (cause) {
    closeSync(fd);
    throw new TensorError("RANKCAST_MEMORY_FULL", `no room for a segment of ${buffer.byteLength} bytes`, {
      details: { nbytes: buffer.byteLength },
      cause,
    });
  }
  return fd;
}

/** An empty file without a name, in memory, or in the temporary directory where /dev/shm has no room for `nbytes`. */
export function openUnlinked(nbytes: number): number {
  return openNameless(roomyDirectory(nbytes));
}

/** `__O_TMPFILE` of Linux, which `node:fs` does not name: with O_DIRECTORY it opens a file that never has a name. */
const O_TMPFILE = 0o20000000 | (constants.O_DIRECTORY ?? 0);

/** A file that is gone with its last descriptor, however this process ends. */
function openNameless(directory: string): number {
  if (process.platform === "linux") {
    try {
      return openSync(directory, O_TMPFILE | constants.O_RDWR, 0o600);
    } catch {
      // Some file systems cannot: a name for a moment, then.
    }
  }
  const folder = mkdtempSync(join(directory, "rankcast-"));
  const fd = openSync(join(folder, "segment"), "wx+", 0o600);
  rmSync(folder, { recursive: true });
  return fd;
}

function roomyDirectory(nbytes: number): string {
  try {
    const { bavail, bsize } = statfsSync("/dev/shm");
    if (bavail * bsize > nbytes) return "/dev/shm";
  } catch {
    // No /dev/shm on this platform.
  }
  return tmpdir();
}
