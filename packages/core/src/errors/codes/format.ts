/** Codes of containers, pickles and formats. */
import type { ErrorCodeRow } from "../error-code-row.ts";

/** Codes of containers, pickles and formats. */
export const FORMAT_CODES = {
  RANKCAST_UNKNOWN_FORMAT: {
    class: "unknown-format",
    meaning: "The bytes are not a checkpoint of any format that is read.",
    remedy: "Look at what the file really is (the message says); download or export it again.",
  },
  RANKCAST_ENTRY_NONE: {
    class: "unknown-format",
    meaning: "The files of a directory are no checkpoint, or cannot be listed.",
    remedy: "Pass the checkpoint file, or the directory that it is in.",
  },
  RANKCAST_ENTRY_PARTS: {
    class: "index",
    meaning: "A directory holds parts of a checkpoint, but not the index that says how they belong together.",
    remedy: "Copy the whole directory, with its index (.metadata, *.index.json).",
  },
  RANKCAST_ENTRY_AMBIGUOUS: {
    class: "usage",
    meaning: "Several files of a directory could be the checkpoint.",
    remedy: "Pass one of the files the message names.",
  },
  RANKCAST_TRUNCATED: {
    class: "truncated",
    meaning: "The file ends before its own structure does.",
    remedy: "Download or copy it again; the transfer or the writer stopped early.",
  },
  RANKCAST_UNSAFE_PATH: {
    class: "unsafe-path",
    meaning: "A name inside the file is absolute, climbs out of its folder, or is no plain relative path.",
    remedy: "Do not trust this file; get it from its author again.",
  },
  RANKCAST_CHECKSUM: {
    class: "integrity",
    meaning: "The bytes of a record differ from the checksum the writer stored.",
    remedy: "Get the file again: its content was damaged after it was written.",
  },
  RANKCAST_INFLATE: {
    class: "integrity",
    meaning: "A compressed record does not decompress to the size the directory gives.",
    remedy: "Get the file again, or save the checkpoint again without compression.",
  },
  RANKCAST_ZIP_END: {
    class: "zip",
    meaning: "The end record of the zip archive contradicts the archive, or there are two of them.",
    remedy: "Save the checkpoint again; nothing says which of two readings of this archive is the right one.",
  },
  RANKCAST_ZIP_DIRECTORY: {
    class: "zip",
    meaning: "An entry of the zip's central directory is malformed.",
    remedy: "Save the checkpoint again; the archive's directory is damaged.",
  },
  RANKCAST_ZIP_NAME: {
    class: "zip",
    meaning: "An entry name of the zip is not valid text, occurs twice, or is not in the archive's one folder.",
    remedy: "Save the checkpoint again with torch.save, or re-zip it with each record once, in one folder.",
  },
  RANKCAST_ZIP_LOCAL_HEADER: {
    class: "zip",
    meaning: "A record's own header contradicts the zip's central directory.",
    remedy: "Save the checkpoint again; readers would disagree about what this archive holds.",
  },
  RANKCAST_ZIP_OVERLAP: {
    class: "zip",
    meaning: "Two records of the zip use the same bytes of the file.",
    remedy: "Do not trust this file; get it from its author again.",
  },
  RANKCAST_ZIP_RECORD_MISSING: {
    class: "zip",
    meaning: "A record the checkpoint needs is not in the archive.",
    remedy: "Save the checkpoint again; record names are compared with upper and lower case kept apart.",
  },
  RANKCAST_ZIP_UNSUPPORTED: {
    class: "unsupported",
    meaning: "The zip uses encryption, several disks, or a compression method other than none and deflate.",
    remedy: "Re-zip it without these features, or save the checkpoint again with torch.save.",
  },
  RANKCAST_TAR_MEMBER: {
    class: "unsupported",
    meaning: "The tar archive holds something else than the four files of an old torch checkpoint.",
    remedy: "Unpack it and pass the checkpoint that is inside.",
  },
  RANKCAST_TAR_HEADER: {
    class: "integrity",
    meaning: "A header of the tar archive does not match its own checksum.",
    remedy: "Get the file again: its content was damaged after it was written.",
  },
  RANKCAST_PICKLE_TRUNCATED: {
    class: "truncated",
    meaning: "The pickle ends before its STOP.",
    remedy: "Download or copy the file again; the transfer or the writer stopped early.",
  },
  RANKCAST_PICKLE_OPCODE: {
    class: "pickle",
    meaning: "A byte of the pickle is no opcode, or one that needs a running Python.",
    remedy: "Save the checkpoint again; the file is damaged, or not a pickle at all.",
  },
  RANKCAST_PICKLE_PROTOCOL: {
    class: "pickle",
    meaning: "The pickle names a protocol that does not exist, or names it in the wrong place.",
    remedy: "Save the checkpoint again with a pickle protocol from 2 to 5.",
  },
  RANKCAST_PICKLE_FRAME: {
    class: "pickle",
    meaning: "A frame of the pickle does not end where it says.",
    remedy: "Do not trust this file: readers of pickles would disagree about what it holds. Save it again.",
  },
  RANKCAST_PICKLE_STACK: {
    class: "pickle",
    meaning: "An opcode of the pickle finds too few values, or a key without a value.",
    remedy: "Save the checkpoint again; the file is damaged.",
  },
  RANKCAST_PICKLE_MEMO: {
    class: "pickle",
    meaning: "The pickle refers to a value it has not defined.",
    remedy: "Save the checkpoint again; the file is damaged.",
  },
  RANKCAST_PICKLE_TEXT: {
    class: "pickle",
    meaning: "A text or number in the pickle is not written as its opcode says.",
    remedy: "Save the checkpoint again; the file is damaged.",
  },
  RANKCAST_PICKLE_TARGET: {
    class: "pickle",
    meaning: "An opcode of the pickle is used on a value of the wrong kind.",
    remedy: "Save the checkpoint again; no writer of checkpoints produces this.",
  },
  RANKCAST_PICKLE_KEY: {
    class: "pickle",
    meaning: "A value that Python cannot hash is a dict key or in a set.",
    remedy: "Save the checkpoint again; no writer of checkpoints produces this.",
  },
  RANKCAST_PICKLE_CALL: {
    class: "pickle",
    meaning: "A function that rebuilds values was given arguments it does not take.",
    remedy: "Save the checkpoint again with the library that made it; the file contradicts itself.",
  },
  RANKCAST_PICKLE_PERSISTENT_ID: {
    class: "pickle",
    meaning: "The pickle refers to something outside of it in a way its format does not have.",
    remedy: "Save the checkpoint again with torch.save.",
  },
  RANKCAST_TENSOR_LAYOUT: {
    class: "tensor",
    meaning: "The numbers that describe a tensor contradict each other or its storage.",
    remedy: "Save the checkpoint again with the library that made it; the file contradicts itself.",
  },
  RANKCAST_STORAGE_SIZE: {
    class: "tensor",
    meaning: "A storage has another size than its record, or reaches outside the storage it is a part of.",
    remedy: "Get the file again, or save the checkpoint again; the file contradicts itself.",
  },
  RANKCAST_STORAGE_KEY: {
    class: "tensor",
    meaning: "A tensor refers to a storage that is not in the file, or names it by something that is no storage key.",
    remedy: "Get the file again, or save the checkpoint again; the file is incomplete.",
  },
  RANKCAST_STORAGE_CONFLICT: {
    class: "tensor",
    meaning: "One storage is used with two element types.",
    remedy: "Save the checkpoint again with the library that made it; the file contradicts itself.",
  },
  RANKCAST_STORAGE_CLASS: {
    class: "unsupported",
    meaning: "A storage has a class that is not one of torch.",
    remedy: "Convert the checkpoint with the library that wrote it.",
  },
  RANKCAST_TENSOR_TYPE: {
    class: "unsupported",
    meaning: "A tensor has an element type, layout or quantisation that is not supported.",
    remedy: "Convert the checkpoint with the library that wrote it.",
  },
  RANKCAST_TORCH_VERSION: {
    class: "unsupported",
    meaning: "The archive has a version of the torch file format that is not supported, or none.",
    remedy: "Save the checkpoint again with a released version of torch.",
  },
  RANKCAST_TORCH_BYTE_ORDER: {
    class: "unsupported",
    meaning: "The record byteorder says neither little nor big.",
    remedy: "Save the checkpoint again with torch.save.",
  },
  RANKCAST_LEGACY_PROTOCOL: {
    class: "unsupported",
    meaning: "The file has a version of torch's old stream format that is not supported.",
    remedy: "Load and save it again with the version of torch that wrote it.",
  },
  RANKCAST_LEGACY_COUNT: {
    class: "integrity",
    meaning: "The file states another size for a storage than its pickle: the file is corrupted or was written by several ranks at once.",
    remedy: "Get the file again; when you write checkpoints yourself, write them from one rank only.",
  },
  RANKCAST_LEGACY_KEYS: {
    class: "pickle",
    meaning: "The list of storages of a file in torch's old stream format does not match its pickle.",
    remedy: "Get the file again, or save the checkpoint again; the file contradicts itself.",
  },
  RANKCAST_TAR_RECORD: {
    class: "tensor",
    meaning: "A table in an old torch tar file contradicts itself.",
    remedy: "Get the file again; the file contradicts itself.",
  },
} as const satisfies Record<string, ErrorCodeRow>;
