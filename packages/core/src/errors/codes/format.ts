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
    meaning: "A directory holds no file that looks like a checkpoint, or its files cannot be listed.",
    remedy: "Pass the checkpoint file itself.",
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
} as const satisfies Record<string, ErrorCodeRow>;
