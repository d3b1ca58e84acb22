/** Codes of the formats that hold tensors without a pickle, of layouts of several files, and of writing. */
import type { ErrorCodeRow } from "../error-code-row.ts";

/** Codes of the formats that hold tensors without a pickle, of layouts of several files, and of writing. */
export const TENSOR_FORMAT_CODES = {
  RANKCAST_SAFETENSORS_HEADER: {
    class: "header",
    meaning: "A safetensors header breaks a rule of the format; `details.variant` is the reference implementation's name for the rule.",
    remedy: "Download the file again and compare its SHA-256 with the publisher's; if it is unchanged, its writer is faulty.",
  },
  RANKCAST_SAFETENSORS_TRUNCATED: {
    class: "truncated",
    meaning: "A safetensors file ends before the last byte its header promises.",
    remedy: "Download or copy the file again: it was cut short.",
  },
  RANKCAST_NPY_HEADER: {
    class: "header",
    meaning: "The header of a numpy array is not the Python literal the format prescribes, or contradicts itself.",
    remedy: "Save the array again with numpy.save or numpy.savez.",
  },
  RANKCAST_NPY_DTYPE: {
    class: "unsupported",
    meaning: "A numpy array has elements that are no plain numbers (Python objects, text, records, dates, long doubles).",
    remedy: "Convert the array to a number type, or save it apart from the tensors.",
  },
  RANKCAST_GGUF_HEADER: {
    class: "header",
    meaning: "The header of a GGUF file breaks a rule of the format.",
    remedy: "Download the file again, or convert the model anew with llama.cpp's scripts.",
  },
  RANKCAST_INDEX_SYNTAX: {
    class: "index",
    meaning: "An index file is not the JSON it should be.",
    remedy: "Download the index again; it is a small text file beside the shards.",
  },
  RANKCAST_INDEX_SHARD: {
    class: "index",
    meaning: "A file that an index names is not there, or can not be read.",
    remedy: "Download the missing file into the folder of the index.",
  },
  RANKCAST_INDEX_MISMATCH: {
    class: "index",
    meaning: "An index and its files contradict each other.",
    remedy: "Download index and files again from one revision of the model; they belong to different ones.",
  },
  RANKCAST_DCP_METADATA: {
    class: "index",
    meaning: "The metadata of a distributed checkpoint is not what torch.distributed.checkpoint writes.",
    remedy: "Copy the whole checkpoint directory again; if it is unchanged, save it again with torch.distributed.checkpoint.",
  },
  RANKCAST_DCP_CHUNKS: {
    class: "index",
    meaning: "The chunks of a tensor in a distributed checkpoint do not make up that tensor.",
    remedy: "Copy the checkpoint again with the files of all ranks; they may belong to different saves.",
  },
  RANKCAST_ZERO_LAYOUT: {
    class: "index",
    meaning: "The files of a DeepSpeed ZeRO checkpoint do not add up to one model.",
    remedy: "Copy the checkpoint again with the files of all ranks; an old save in the same folder is the usual reason.",
  },
  RANKCAST_SAVE_DTYPE: {
    class: "unsupported",
    meaning: "The file format has no element type for a tensor that was to be saved.",
    remedy: "Cast the tensor, or save with saveTorch, which knows more element types.",
  },
  RANKCAST_SAVE_NAME: {
    class: "usage",
    meaning: "A name or a metadata entry cannot be written into this file format.",
    remedy: "Rename the tensor or the metadata entry that the message names.",
  },
  RANKCAST_SAVE_VALUE: {
    class: "unsupported",
    meaning: "A value beside the tensors is of a kind that cannot be saved.",
    remedy: "Remove it from the state dict's extraState, or turn it into plain values and tensors.",
  },
  RANKCAST_SAVE_REFUSED: {
    class: "usage",
    meaning: "The operating system did not let the output be written; nothing was left behind.",
    remedy: "Check the directory, its permissions and the path; the cause names the system error.",
  },
  RANKCAST_SAVE_DISK_FULL: {
    class: "disk-full",
    meaning: "The disk or the quota is full; the unfinished output was removed.",
    remedy: "Free space, or write to another disk.",
  },
} as const satisfies Record<string, ErrorCodeRow>;
