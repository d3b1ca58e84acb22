/** Rows 82 to 120: tensors and storages, old streams and tars. */
import { type NumberedRow, refused, zips } from "./hostile-row.ts";

/** See the title. */
export const TENSOR_ROWS: readonly NumberedRow[] = [
  [82, { what: "1000 elements of 48 bytes", outcome: "tensor", fixtures: refused("tensor", "numel_1000.pt") }],
  [83, { what: "fewer elements than the record", outcome: "tensor", fixtures: refused("tensor", "numel_smaller_than_record.pt") }],
  [84, { what: "-1 elements", outcome: "tensor", fixtures: refused("tensor", "numel_negative.pt") }],
  [85, { what: "2^62+3 elements", outcome: "tensor", fixtures: refused("tensor", "numel_2p62.pt") }],
  [86, { what: "a count that wraps", outcome: "tensor", fixtures: refused("tensor", "numel_wraps.pt") }],
  [87, { what: "size beyond the storage", outcome: "tensor", fixtures: refused("tensor", "size_beyond_storage.pt") }],
  [
    88,
    {
      what: "offset beyond",
      outcome: "tensor",
      fixtures: refused("tensor", "offset_beyond.pt", "offset_one_too_many.pt", "offset_2p63.pt"),
    },
  ],
  [89, { what: "offset -1", outcome: "tensor", fixtures: refused("tensor", "offset_negative.pt") }],
  [
    90,
    {
      what: "stride -1",
      outcome: "tensor",
      fixtures: refused("tensor", "stride_negative.pt", "stride_beyond_storage.pt", "stride_2p62.pt"),
    },
  ],
  [91, { what: "size -3", outcome: "tensor", fixtures: refused("tensor", "size_negative.pt") }],
  [92, { what: "as many strides as sizes", outcome: "tensor", fixtures: refused("tensor", "stride_length.pt", "stride_length_long.pt") }],
  [93, { what: "overflow beside 0", outcome: "tensor", fixtures: refused("tensor", "size_overflow.pt", "size_overflow_zero_dim.pt") }],
  [94, { what: "stride 0 bomb", outcome: "limit", fixtures: refused("limit", "stride_zero_bomb.pt") }],
  [95, { what: "rank 100", outcome: "limit", fixtures: refused("limit", "rank_100.pt") }],
  [96, { what: "key without a record", outcome: "tensor", fixtures: refused("tensor", "key_missing.pt") }],
  [97, { what: "key ../data.pkl", outcome: "tensor", fixtures: refused("tensor", "key_dotdot.pt") }],
  [98, { what: "empty key", outcome: "tensor", fixtures: refused("tensor", "key_empty.pt") }],
  [99, { what: "one key, two dtypes", outcome: "tensor", fixtures: refused("tensor", "one_key_two_dtypes.pt") }],
  [100, { what: "UnknownStorage", outcome: "unsupported", fixtures: refused("unsupported", "unknown_storage_class.pt") }],
  [
    101,
    {
      what: "other persistent ids",
      outcome: "pickle",
      fixtures: refused("pickle", "persid_str.pt", "persid_int_in_zip.pt", "persid_wrong_kind.pt", "persid_short_tuple.pt"),
    },
  ],
  [
    102,
    {
      what: "sparse indices out of range",
      outcome: "tensor",
      fixtures: refused("tensor", "sparse_index_out_of_range.pt", "sparse_index_negative.pt"),
      densify: true,
    },
  ],
  [103, { what: "csr pointers not monotone", outcome: "tensor", fixtures: refused("tensor", "csr_not_monotone.pt"), densify: true }],
  [104, { what: "axis 5 of a quantised tensor", outcome: "tensor", fixtures: refused("tensor", "qtensor_axis_5.pt") }],
  [105, { what: "a DTensor is no tensor", outcome: "read", fixtures: zips("dtensor_one_rank") }],
  [106, { what: "magic + 1", outcome: "unknown-format", fixtures: refused("unknown-format", "legacy_magic_plus_one.pt") }],
  [107, { what: "protocol 1002", outcome: "unsupported", fixtures: refused("unsupported", "legacy_protocol_1002.pt") }],
  [108, { what: "count 2^40", outcome: "integrity", fixtures: refused("integrity", "legacy_count_2p40.pt") }],
  [109, { what: "count -1", outcome: "integrity", fixtures: refused("integrity", "legacy_count_negative.pt") }],
  [110, { what: "11 of 12", outcome: "integrity", fixtures: refused("integrity", "legacy_count_one_less.pt") }],
  [
    111,
    {
      what: "a count that is weights",
      outcome: "integrity",
      fixtures: refused("integrity", "legacy_count_garbage.pt", "legacy_two_writers.pt"),
    },
  ],
  [112, { what: "cut by 10 bytes", outcome: "truncated", fixtures: refused("truncated", "legacy_payload_short.pt") }],
  [
    113,
    {
      what: "a key list that is wrong",
      outcome: "pickle",
      fixtures: refused("pickle", "legacy_keys_unknown.pt", "legacy_keys_missing.pt"),
    },
  ],
  [114, { what: "view past the end", outcome: "tensor", fixtures: refused("tensor", "legacy_view_past_end.pt") }],
  [115, { what: "little_endian False is little-endian", outcome: "read", fixtures: ["accepted/torch-legacy/little_endian_false.pt"] }],
  [116, { what: "tar symlink", outcome: "unsafe-path", fixtures: refused("unsafe-path", "tar_symlink.pth.tar") }],
  [
    117,
    {
      what: "absolute tar member",
      outcome: "unsafe-path",
      fixtures: refused("unsafe-path", "tar_absolute_member.pth.tar", "tar_dotdot_member.pth.tar"),
    },
  ],
  [118, { what: "tar checksum", outcome: "unknown-format", fixtures: refused("unknown-format", "tar_bad_checksum.pth.tar") }],
  [119, { what: "tar size past the end", outcome: "truncated", fixtures: refused("truncated", "tar_size_past_end.pth.tar") }],
  [
    120,
    {
      what: "tar ndim",
      outcome: "tensor",
      fixtures: refused("tensor", "tar_ndim_negative.pth.tar", "tar_ndim_2p30.pth.tar"),
      except: { tar_ndim_2p30: "limit" },
    },
  ],
];
