/** Files of `torch.save` from 0.1.10 to 1.5. See `torch-legacy-stream.ts` for the bytes. */
import type { CheckpointTree, Warning } from "../manifest/checkpoint-tree.ts";
import { readFromSource } from "../pickle/byte-reading.ts";
import type { CheckpointFormat, FormatInput } from "./checkpoint-format.ts";
import { checkCountsOf } from "./torch-legacy-counts.ts";
import { decodeLegacyStream, LEGACY_MAGIC } from "./torch-legacy-stream.ts";

const MAGIC_BYTES = 10;
/** PROTO, LONG1 and its length; protocols from 4 on put a frame of 9 bytes between. */
const MAGIC_AT = [4, 13];

/** The stream format of torch. */
export const torchLegacy: CheckpointFormat = { name: "torch-legacy", matches: ({ head }) => startsLikeStream(head), read: readTorchLegacy };

/** Whether `head` begins with a pickle of the magic number. */
function startsLikeStream(head: Uint8Array): boolean {
  if (head[0] !== 0x80) return false;
  const buffer = Buffer.from(head.buffer, head.byteOffset, head.length);
  return MAGIC_AT.some((at) => {
    if (at + MAGIC_BYTES > head.length || head[at - 2] !== 0x8a || head[at - 1] !== MAGIC_BYTES) return false;
    return buffer.readBigUInt64LE(at) === BigInt.asUintN(64, LEGACY_MAGIC) && buffer.readUInt16LE(at + 8) === Number(LEGACY_MAGIC >> 64n);
  });
}

async function readTorchLegacy({ source, head, limits, heap, signal, nesting }: FormatInput): Promise<CheckpointTree> {
  const context = { limits, file: source.name, heap, depth: nesting };
  const stream = await readFromSource(decodeLegacyStream(0, source.sizeBytes, context), source, signal, { offset: 0, bytes: head });
  await checkCountsOf(source, stream.counts, { file: source.name, baseOffset: 0 }, signal);
  return {
    format: "torch-legacy",
    root: stream.root,
    sources: [source],
    checksums: "absent",
    fileMetadata: new Map(),
    warnings: [...stream.warnings, ...trailing(source.sizeBytes - stream.endOffset)],
  };
}

function trailing(trailingBytes: number): Warning[] {
  if (trailingBytes === 0) return [];
  return [{ code: "trailing-bytes", message: `${trailingBytes} bytes behind the last storage were ignored` }];
}
