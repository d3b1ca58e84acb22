/** A consumer's view of published segments: one `Storage` per placement, mapped where possible and read otherwise. */

import { closeSync, readSync } from "node:fs";
import { SourceError, TensorError } from "../errors/checkpoint-error.ts";
import { allocateShared } from "../tensor/allocate-buffer.ts";
import { Storage } from "../tensor/storage.ts";
import type { NativeMemory } from "./native-memory.ts";
import { openSegment } from "./open-segment.ts";
import type { SegmentDescriptor, StoragePlacement } from "./segment.ts";

/** What attaching gave. */
export interface AttachedStorages {
  /** One per placement; a storage without bytes (meta) where the placement is null. */
  readonly storages: readonly Storage[];
  /** `mapped`: every storage is a private copy-on-write view. `read`: the bytes are in memory of this process, shared by its threads. */
  readonly how: "mapped" | "read";
}

// Reads of neighbouring storages are joined across gaps up to this size: a read call costs about as much as copying this much.
const GAP_BYTES_MAX = 65_536;
const READ_BYTES_MAX = 2 ** 30;
// Runs start on such a multiple, so that storages keep the alignment they have in the segment.
const RUN_ALIGNMENT_BYTES = 64;

type Placements = readonly (StoragePlacement | null)[];

/**
 * Attaches segments. With the kernel door open every storage is a copy-on-write view and no byte is copied; without it the needed
 * ranges are read once into SharedArrayBuffers.
 * @throws {TensorError} RANKCAST_SEGMENT_GONE when a segment's owner has ended, RANKCAST_MEMORY_MAP when mapping fails.
 * @throws {SourceError} RANKCAST_SOURCE_CHANGED when a mapped file is not the planned one.
 */
export function attachStorages(
  segments: readonly SegmentDescriptor[],
  placements: Placements,
  native: NativeMemory | null,
): AttachedStorages {
  const storages = placements.map((placement) => new Storage(placement ? new ArrayBuffer(0) : null, 0, 0));
  for (const [index, members] of membersBySegment(placements)) {
    const segment = segments[index];
    if (!segment) throw new TensorError("RANKCAST_SEGMENT_GONE", `segment ${index} is not described`, { details: { segment: index } });
    const fd = openSegment(segment);
    try {
      const place = native ? mapMembers(native, fd, segment) : readMembers(fd, segment, members, placements);
      for (const member of members) storages[member] = place(member, placements[member]);
    } finally {
      closeSync(fd);
    }
  }
  return { storages, how: native ? "mapped" : "read" };
}

function membersBySegment(placements: Placements): Map<number, number[]> {
  const bySegment = new Map<number, number[]>();
  placements.forEach((placement, index) => {
    if (placement === null || placement.nbytes === 0) return;
    const members = bySegment.get(placement.segment);
    if (members) members.push(index);
    else bySegment.set(placement.segment, [index]);
  });
  return bySegment;
}

type Place = (index: number, placement: StoragePlacement | null | undefined) => Storage;

function mapMembers(native: NativeMemory, fd: number, segment: SegmentDescriptor): Place {
  const { buffer, byteOffset } = native.mapPrivate(fd, segment.kind === "file" ? segment.offset : 0, segment.nbytes);
  return (_, placement) => new Storage(buffer, byteOffset + (placement?.byteOffset ?? 0), placement?.nbytes ?? 0);
}

function readMembers(fd: number, segment: SegmentDescriptor, members: readonly number[], placements: Placements): Place {
  const base = segment.kind === "file" ? segment.offset : 0;
  const buffers = new Map<number, { buffer: SharedArrayBuffer; begin: number }>();
  for (const run of joinNeighbours(members, placements)) {
    const buffer = allocateShared(run.end - run.begin);
    readWhole(fd, buffer, base + run.begin);
    for (const member of run.members) buffers.set(member, { buffer, begin: run.begin });
  }
  return (index, placement) => {
    const run = buffers.get(index);
    return new Storage(run?.buffer ?? null, (placement?.byteOffset ?? 0) - (run?.begin ?? 0), placement?.nbytes ?? 0);
  };
}

interface Run {
  readonly begin: number;
  end: number;
  readonly members: number[];
}

function joinNeighbours(members: readonly number[], placements: Placements): Run[] {
  const runs: Run[] = [];
  for (const index of [...members].sort((a, b) => (placements[a]?.byteOffset ?? 0) - (placements[b]?.byteOffset ?? 0))) {
    const begin = placements[index]?.byteOffset ?? 0;
    const end = begin + (placements[index]?.nbytes ?? 0);
    const last = runs.at(-1);
    if (last && begin - last.end <= GAP_BYTES_MAX) {
      last.end = Math.max(last.end, end);
      last.members.push(index);
    } else runs.push({ begin: begin - (begin % RUN_ALIGNMENT_BYTES), end, members: [index] });
  }
  return runs;
}

function readWhole(fd: number, buffer: SharedArrayBuffer, position: number): void {
  for (let at = 0; at < buffer.byteLength; ) {
    const length = Math.min(buffer.byteLength - at, READ_BYTES_MAX);
    const read = readSync(fd, new Uint8Array(buffer, at, length), 0, length, position + at);
    if (read === 0) {
      throw new SourceError("RANKCAST_SOURCE_TRUNCATED", `a segment ended at byte ${position + at}`, {
        details: { offset: position + at },
      });
    }
    at += read;
  }
}
