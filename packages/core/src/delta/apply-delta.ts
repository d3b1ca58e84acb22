/** From an old state and a difference to the new state. */
import { promisify } from "node:util";
import { inflateRaw } from "node:zlib";
import { crc32 } from "../checksum/crc32.ts";
import { DistributionError } from "../errors/checkpoint-error.ts";
import {
  BITMAP_BYTES,
  BLOCK_HEADER_BYTES,
  type ByteRuns,
  DELTA_MAGIC,
  HEADER_BYTES,
  hasPage,
  noPages,
  PAGE_BYTES,
  type PageMap,
  pagesOfBlock,
} from "./delta-format.ts";
import { xorInto } from "./encode-delta.ts";

const inflate = promisify(inflateRaw);

// zlib's least; its default of 16 KiB would take hundreds of turns through the thread pool per block.
const CHUNK_BYTES_MIN = 64;

/**
 * Fills `target` with the new state and gives the pages that differ from `base`. `base` and `target` may not overlap. Only pages in `stale` are
 * copied from `base`: a target that holds an earlier generation needs no others. Without `stale` it does not matter what `target` held.
 * @throws {DistributionError} RANKCAST_DELTA when the difference is damaged or belongs to another old state; `target` is not usable then.
 */
export async function applyDelta(base: ByteRuns, delta: Uint8Array, target: ByteRuns, stale: PageMap | null = null): Promise<PageMap> {
  const { nbytes, checksum, blocks } = readHeader(delta);
  if (nbytes !== base.nbytes || nbytes !== target.nbytes || base.blockCount !== target.blockCount) {
    throw refusal(`it is about ${nbytes} bytes, the weights have ${base.nbytes}`);
  }
  for (let index = 0; index < base.blockCount; index += 1) {
    copyPages(base.block(index), target.block(index), stale && pagesOfBlock(stale, index));
  }
  const changed = noPages(target);
  const parts = readBlocks(delta, blocks, target.blockCount);
  // Blocks are independent: two of them keep zlib's threads and this one busy.
  const work = parts.values();
  const lane = async (): Promise<void> => {
    for (const { index, bitmap, payload } of work) {
      pagesOfBlock(changed, index).set(bitmap);
      await applyBlock(base.block(index), target.block(index), bitmap, payload, index);
    }
  };
  await Promise.all([lane(), lane()]);
  let found = 0;
  for (let index = 0; index < target.blockCount; index += 1) found = crc32(target.block(index), found);
  if (found !== checksum) throw refusal("the new state's checksum differs: it is damaged, or the old state is another one");
  return changed;
}

function copyPages(base: Uint8Array, target: Uint8Array, stale: Uint8Array | null): void {
  if (stale === null) {
    target.set(base);
    return;
  }
  const pages = Math.ceil(base.length / PAGE_BYTES);
  for (let page = 0; page < pages; page += 1) {
    if (hasPage(stale, page)) target.set(base.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES), page * PAGE_BYTES);
  }
}

function readHeader(delta: Uint8Array): { readonly nbytes: number; readonly checksum: number; readonly blocks: number } {
  if (delta.length < HEADER_BYTES) throw refusal("it is shorter than its header");
  const view = new DataView(delta.buffer, delta.byteOffset, HEADER_BYTES);
  if (view.getUint32(0, true) !== DELTA_MAGIC) throw refusal("it is none");
  return { nbytes: Number(view.getBigUint64(4, true)), checksum: view.getUint32(12, true), blocks: view.getUint32(16, true) };
}

function readBlocks(delta: Uint8Array, count: number, blockCount: number): Block[] {
  const blocks: Block[] = [];
  let at = HEADER_BYTES;
  for (let read = 0; read < count; read += 1) {
    const block = readBlock(delta, at);
    const last = blocks.at(-1)?.index ?? -1;
    if (block.index <= last || block.index >= blockCount) throw refusal(`block ${block.index} after block ${last} of ${blockCount}`);
    blocks.push(block);
    at = block.end;
  }
  if (at !== delta.length) throw refusal(`${delta.length - at} bytes behind its end`);
  return blocks;
}

interface Block {
  readonly index: number;
  readonly bitmap: Uint8Array;
  readonly payload: Uint8Array;
  readonly end: number;
}

function readBlock(delta: Uint8Array, at: number): Block {
  const payloadAt = at + BLOCK_HEADER_BYTES + BITMAP_BYTES;
  if (payloadAt > delta.length) throw refusal(`it ends at byte ${delta.length}, in a block's header`);
  const view = new DataView(delta.buffer, delta.byteOffset + at, BLOCK_HEADER_BYTES);
  const end = payloadAt + view.getUint32(4, true);
  if (end > delta.length) throw refusal(`it ends at byte ${delta.length}, in a block`);
  const bitmap = delta.subarray(at + BLOCK_HEADER_BYTES, payloadAt);
  return { index: view.getUint32(0, true), bitmap, payload: delta.subarray(payloadAt, end), end };
}

async function applyBlock(base: Uint8Array, block: Uint8Array, bitmap: Uint8Array, payload: Uint8Array, index: number): Promise<void> {
  const pages = Math.ceil(block.length / PAGE_BYTES);
  const changed = Array.from({ length: pages }, (_, page) => page).filter((page) => hasPage(bitmap, page));
  const expected = changed.reduce((sum, page) => sum + Math.min(PAGE_BYTES, block.length - page * PAGE_BYTES), 0);
  let xored: Uint8Array;
  try {
    // Never more than the pages it names, whatever the bytes would inflate to.
    xored = await inflate(payload, { maxOutputLength: Math.max(expected, 1), chunkSize: Math.max(expected, CHUNK_BYTES_MIN) });
  } catch (cause) {
    throw refusal(`block ${index} cannot be inflated`, cause);
  }
  if (xored.length !== expected) throw refusal(`block ${index} has ${xored.length} bytes for pages of ${expected}`);
  let at = 0;
  for (const page of changed) {
    const [begin, end] = [page * PAGE_BYTES, Math.min((page + 1) * PAGE_BYTES, block.length)];
    xorInto(block.subarray(begin, end), base.subarray(begin, end), xored.subarray(at, at + end - begin));
    at += end - begin;
  }
}

function refusal(why: string, cause?: unknown): DistributionError {
  return new DistributionError("RANKCAST_DELTA", `a weight update's difference is refused: ${why}`, cause === undefined ? {} : { cause });
}
