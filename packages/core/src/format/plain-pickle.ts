/**
 * Plain pickles of arrays and tensors (`pickle.dump`): Detectron2's model zoo, its Python 2 ancestors, state dicts pickled by hand. Large
 * arrays are not read: their bytes lie in the file as they are.
 */
import { FormatError } from "../errors/checkpoint-error.ts";
import { printable, quote } from "../errors/quote.ts";
import {
  type CheckpointTree,
  OpaqueValue,
  SparseRef,
  TensorRef,
  TreeDict,
  TreeList,
  type TreeValue,
  type Warning,
} from "../manifest/checkpoint-tree.ts";
import { readFromSource } from "../pickle/byte-reading.ts";
import { decodePickle } from "../pickle/read-pickle.ts";
import { startsLikePickle } from "../pickle/starts-like-pickle.ts";
import type { CheckpointFormat, FormatInput } from "./checkpoint-format.ts";
import { nestedStreams, SKIPPED_BYTES_MIN } from "./torch-legacy-stream.ts";

/** The plain pickle format. Asked last: a pickle has hardly any structure to know it by. */
export const plainPickle: CheckpointFormat = {
  name: "pickle",
  matches: ({ head, source, limits }) => startsLikePickle(head, source.sizeBytes, limits),
  read: readPlainPickle,
};

async function readPlainPickle({ source, head, limits, heap, signal, nesting }: FormatInput): Promise<CheckpointTree> {
  const reading = decodePickle(0, source.sizeBytes, {
    limits,
    where: { file: source.name, baseOffset: 0 },
    heap,
    skipBytesMin: SKIPPED_BYTES_MIN,
    readNested: nestedStreams({ limits, file: source.name, heap, depth: nesting }),
  });
  const result = await readFromSource(reading, source, signal, { offset: 0, bytes: head });
  if (!canHoldTensors(result.value)) {
    const what = result.value instanceof OpaqueValue ? `a call of ${quote(result.value.global)}` : "one plain value";
    throw new FormatError("RANKCAST_UNKNOWN_FORMAT", `${printable(source.name)}: a pickle of ${what}, which is no checkpoint`, {
      details: { file: source.name, offset: 0 },
    });
  }
  return {
    format: "pickle",
    root: result.value,
    sources: [source],
    checksums: "absent",
    fileMetadata: new Map(),
    warnings: [...result.warnings, ...trailing(source.sizeBytes - result.endOffset)],
  };
}

/** A call that attacks use gives no checkpoint, whatever its arguments hold. */
function canHoldTensors(value: TreeValue): boolean {
  if (value instanceof OpaqueValue && value.dangerous) return false;
  return [TreeDict, TreeList, TensorRef, SparseRef, OpaqueValue].some((each) => value instanceof each);
}

function trailing(trailingBytes: number): Warning[] {
  if (trailingBytes === 0) return [];
  return [{ code: "pickle-trailing-bytes", message: `${trailingBytes} bytes behind the end of the pickle were ignored` }];
}
