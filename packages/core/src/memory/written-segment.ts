/**
 * A segment that is filled by `write` calls: bytes that arrive from a network. Writing whole pages into fresh memory costs one copy and
 * no zeroing, no page fault and no mapping; measured it is faster than filling a mapping, and a full machine is an error of the call.
 */
import { closeSync, ftruncateSync, writeSync } from "node:fs";
import { TensorError } from "../errors/checkpoint-error.ts";
import { openUnlinked } from "./memory-segment.ts";
import type { NativeMemory } from "./native-memory.ts";
import type { SegmentDescriptor } from "./segment.ts";

/** Memory being filled by its one writer (law L4). */
export interface WrittenSegment {
  readonly nbytes: number;
  /** How threads of this process open the bytes while they are being filled. */
  readonly path: string;
  /** Writes all of `bytes`. @throws {TensorError} RANKCAST_MEMORY_FULL */
  write(bytes: Uint8Array, position: number): void;
  /** Seals the bytes where the platform can, and says how others reach them. Nothing may be written after. */
  publish(): SegmentDescriptor;
  /** Gives the memory back once every consumer has attached. Safe to call twice. */
  release(): void;
}

/**
 * An empty segment of `nbytes` bytes: a memfd where the kernel door is open, else an unlinked file in memory.
 * @throws {TensorError} RANKCAST_MEMORY_FULL when there is not enough memory.
 */
export function createWrittenSegment(nbytes: number, native: NativeMemory | null): WrittenSegment {
  const mapped = native !== null && process.platform === "linux";
  const fd = mapped ? native.createMemoryFile("rankcast", nbytes, false) : openSized(nbytes);
  const path = `/proc/${process.pid}/fd/${fd}`;
  let open = true;
  return {
    nbytes,
    path,
    write(bytes, position) {
      try {
        for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, position + at);
      } catch (cause) {
        throw noRoom(nbytes, cause);
      }
    },
    publish() {
      if (mapped) native.seal(fd);
      return { kind: "memfd", path, nbytes };
    },
    release() {
      if (open && mapped) native.close(fd);
      else if (open) closeSync(fd);
      open = false;
    },
  };
}

/** An unlinked file of `nbytes` bytes. */
function openSized(nbytes: number): number {
  const fd = openUnlinked(nbytes);
  try {
    ftruncateSync(fd, nbytes);
    return fd;
  } catch (cause) {
    closeSync(fd);
    throw noRoom(nbytes, cause);
  }
}

function noRoom(nbytes: number, cause: unknown): TensorError {
  return new TensorError("RANKCAST_MEMORY_FULL", `no room for a segment of ${nbytes} bytes`, { details: { nbytes }, cause });
}
