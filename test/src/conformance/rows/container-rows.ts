/** Rows 1 to 46: files that are something else, and archives. */
import { pickleOf, torchZipFile } from "../../support/torch-file.ts";
import { bytesOf, tensor } from "../../support/write-pickle.ts";
import { bomb, manyRecords, minimal, type NumberedRow, overlappingRecords, refused, zips } from "./hostile-row.ts";

/** See the title. */
export const CONTAINER_ROWS: readonly NumberedRow[] = [
  [1, { what: "empty file", outcome: "truncated", fixtures: refused("truncated", "empty_file.pt") }],
  [2, { what: "HTML page", outcome: "unknown-format", fixtures: refused("unknown-format", "html_404.pth", "html_lower.bin") }],
  [3, { what: "Git LFS pointer", outcome: "unknown-format", fixtures: refused("unknown-format", "git_lfs_pointer.bin") }],
  [4, { what: "gzip of a .pt", outcome: "unknown-format", fixtures: refused("unknown-format", "gzip_of_pt.pt") }],
  [5, { what: "PNG", outcome: "unknown-format", fixtures: refused("unknown-format", "png.pt") }],
  [6, { what: "7z", outcome: "unknown-format", fixtures: refused("unknown-format", "seven_zip.pt") }],
  [7, { what: "zip without its end", outcome: "truncated", fixtures: refused("truncated", "zip_last_30_cut.pt", "zip_no_eocd.pt") }],
  [8, { what: "zip cut in half", outcome: "truncated", fixtures: refused("truncated", "zip_half.pt") }],
  [9, { what: "junk before PK", outcome: "unknown-format", fixtures: refused("unknown-format", "junk_before_zip.pt") }],
  [10, { what: "more than 64 KiB behind the end", outcome: "zip", made: [() => bytesOf(minimal(), new Uint8Array(65_536))] }],
  [11, { what: "a fake end in the comment", outcome: "zip", fixtures: refused("zip", "fake_eocd_in_comment.pt") }],
  [12, { what: "count + 1", outcome: "zip", fixtures: refused("zip", "eocd_count_plus_1.pt") }],
  [13, { what: "count - 1", outcome: "zip", fixtures: refused("zip", "eocd_count_minus_1.pt") }],
  [14, { what: "several disks", outcome: "unsupported", fixtures: refused("unsupported", "multi_disk.pt") }],
  [15, { what: "directory elsewhere", outcome: "zip", fixtures: refused("zip", "cd_offset_wrong.pt", "cd_offset_past_end.pt") }],
  [16, { what: "flag 0x1", outcome: "unsupported", fixtures: refused("unsupported", "flag_0x0001.pt") }],
  [17, { what: "flag 0x20", outcome: "unsupported", fixtures: refused("unsupported", "flag_0x0020.pt") }],
  [18, { what: "flag 0x40", outcome: "unsupported", fixtures: refused("unsupported", "flag_0x0040.pt") }],
  [19, { what: "flag 0x2000", outcome: "unsupported", fixtures: refused("unsupported", "flag_0x2000.pt") }],
  [20, { what: "method 99", outcome: "unsupported", fixtures: refused("unsupported", "method_99.pt") }],
  [
    21,
    {
      what: "deflate over stored bytes",
      outcome: "integrity",
      fixtures: refused("integrity", "deflate_garbage.pt", "deflate_over_stored.pt"),
      except: { deflate_over_stored: "zip" },
    },
  ],
  [22, { what: "two sizes of a stored record", outcome: "zip", fixtures: refused("zip", "stored_sizes_differ.pt") }],
  [23, { what: "0xffffffff without zip64", outcome: "zip", fixtures: refused("zip", "size_ffffffff_without_zip64.pt") }],
  [24, { what: "local header past the end", outcome: "zip", fixtures: refused("zip", "lfh_offset_past_end.pt") }],
  [25, { what: "local header of another record", outcome: "zip", fixtures: refused("zip", "lfh_offset_of_other_entry.pt") }],
  [26, { what: "broken local signature", outcome: "zip", fixtures: refused("zip", "lfh_signature.pt") }],
  [27, { what: "two names", outcome: "zip", fixtures: refused("zip", "lfh_name_differs.pt", "lfh_name_data_pkl.pt") }],
  [28, { what: "data.pkl twice", outcome: "zip", fixtures: refused("zip", "duplicate_data_pkl.pt") }],
  [29, { what: "data/0 twice", outcome: "zip", fixtures: refused("zip", "duplicate_record.pt") }],
  [30, { what: "two prefixes", outcome: "zip", fixtures: refused("zip", "two_prefixes.pt") }],
  [31, { what: "no prefix", outcome: "zip", fixtures: refused("zip", "no_prefix.pt") }],
  [32, { what: "prefix ../", outcome: "unsafe-path", fixtures: refused("unsafe-path", "prefix_dotdot.pt", "prefix_dotdot_only.pt") }],
  [33, { what: "NUL in a name", outcome: "zip", fixtures: refused("zip", "nul_in_name.pt") }],
  [34, { what: "backslash in a name", outcome: "zip", fixtures: refused("zip", "backslash_in_name.pt") }],
  [35, { what: "another case", outcome: "tensor", fixtures: refused("zip", "upper_case_record.pt") }],
  [
    36,
    {
      what: "version missing, 99, text",
      outcome: "unsupported",
      fixtures: refused("unsupported", "version_missing.pt", "version_99.pt", "version_text.pt"),
    },
  ],
  [
    37,
    { what: "odd byte orders", outcome: "unsupported", fixtures: refused("unsupported", "byteorder_middle.pt", "byteorder_newline.pt") },
  ],
  [38, { what: "checksum of data/0", outcome: "integrity", fixtures: refused("integrity", "crc_data_0.pt") }],
  [39, { what: "checksum of data.pkl", outcome: "integrity", fixtures: refused("integrity", "crc_data_pkl.pt") }],
  [
    40,
    {
      what: "deflate bomb",
      outcome: "limit",
      made: [() => bomb(50 * 2 ** 20)],
      fixtures: refused("limit", "deflate_bomb.pt"),
      except: { deflate_bomb: "read" },
    },
  ],
  [
    41,
    {
      what: "deflate that claims 1 GiB",
      outcome: "limit",
      fixtures: refused("integrity", "deflate_shorter_than_size.pt"),
      made: [
        () =>
          torchZipFile({
            pickle: pickleOf(tensor()),
            extra: [{ name: "archive/data/9", bytes: new Uint8Array(10), deflate: true, wide: true, directory: { nbytes: 2 ** 30 } }],
          }),
      ],
    },
  ],
  [42, { what: "10 000 records over each other", outcome: "zip", made: [overlappingRecords] }],
  [43, { what: "a directory of a million records", outcome: "limit", made: [() => manyRecords(1_000_001)] }],
  [44, { what: "zip64 size 2^63", outcome: "zip", fixtures: refused("zip", "zip64_size_2p63.pt") }],
  [45, { what: "TorchScript gives its weights", outcome: "read", fixtures: zips("torchscript") }],
  [46, { what: "zip in a zip", outcome: "zip", fixtures: refused("zip", "zip_in_zip.pt") }],
];
