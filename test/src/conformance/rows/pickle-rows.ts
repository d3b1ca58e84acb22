/** Rows 47 to 81: pickles. */
import { call, dict, tensor, text, u32, u64 } from "../../support/write-pickle.ts";
import { frame, type NumberedRow, nestedStreams, refused, zipOf, zips } from "./hostile-row.ts";

/** See the title. */
export const PICKLE_ROWS: readonly NumberedRow[] = [
  [47, { what: "no STOP", outcome: "truncated", fixtures: refused("truncated", "pickle_no_stop.pt") }],
  [
    48,
    {
      what: "text past the end",
      outcome: "truncated",
      fixtures: refused("truncated", "pickle_string_past_end.pt"),
      made: [() => zipOf("X", u32(0x7fffffff), "a")],
    },
  ],
  [49, { what: "bad UTF-8", outcome: "pickle", fixtures: refused("pickle", "string_bad_utf8.pt") }],
  [50, { what: "a lone surrogate is a name", outcome: "read", fixtures: zips("lone_surrogate") }],
  [51, { what: "unknown opcode", outcome: "pickle", fixtures: refused("pickle", "unknown_opcode.pt") }],
  [52, { what: "PROTO 9", outcome: "pickle", fixtures: refused("pickle", "proto_9.pt") }],
  [53, { what: "stack underflow", outcome: "pickle", fixtures: refused("pickle", "stack_underflow.pt") }],
  [54, { what: "TUPLE without MARK", outcome: "pickle", fixtures: refused("pickle", "tuple_without_mark.pt") }],
  [55, { what: "missing memo", outcome: "pickle", fixtures: refused("pickle", "memo_missing.pt") }],
  [56, { what: "GLOBAL without its line", outcome: "truncated", fixtures: refused("pickle", "global_no_newline.pt") }],
  [
    57,
    {
      what: "memo slot 2^32-1 costs nothing",
      outcome: "read",
      fixtures: zips("memo_index_2p31"),
      made: [() => zipOf(dict([[text("w"), tensor()]]), "r", u32(0xffffffff))],
    },
  ],
  [58, { what: "odd SETITEMS", outcome: "pickle", fixtures: refused("pickle", "setitems_odd.pt") }],
  [59, { what: "SETITEM on a list", outcome: "pickle", fixtures: refused("pickle", "setitem_on_list.pt") }],
  [60, { what: "SETITEM on a storage", outcome: "pickle", fixtures: refused("pickle", "setitem_on_storage.pt") }],
  [61, { what: "APPEND on a dict", outcome: "pickle", fixtures: refused("pickle", "append_on_dict.pt") }],
  [62, { what: "unhashable key", outcome: "pickle", fixtures: refused("pickle", "unhashable_key.pt", "dict_as_key.pt") }],
  [63, { what: "tuple key hash bomb", outcome: "limit", fixtures: refused("limit", "tuple_key_hash_bomb.pt") }],
  [64, { what: "billion laughs are a graph", outcome: "read", fixtures: zips("shared_tuples_40") }],
  [
    65,
    {
      what: "100 000 nested lists",
      outcome: "limit",
      fixtures: refused("limit", "nested_lists_20k.pt"),
      made: [() => zipOf("}", text("w"), "]".repeat(100_000), "a".repeat(99_999), "s")],
    },
  ],
  [66, { what: "a cycle", outcome: "read", fixtures: zips("cycle") }],
  [
    67,
    {
      what: "os.system",
      outcome: "read",
      fixtures: zips("hostile_os_system", "hostile_posix_system", "hostile_nt_system", "hostile_subprocess", "hostile_pop_hidden"),
    },
  ],
  [
    68,
    {
      what: "builtins.eval",
      outcome: "read",
      fixtures: zips("hostile_builtins_eval", "hostile_getattr_chain", "hostile_build_setstate", "hostile_obj"),
    },
  ],
  [69, { what: "INST exec", outcome: "read", fixtures: zips("hostile_inst", "hostile_py2_exec") }],
  [70, { what: "STACK_GLOBAL through the memo", outcome: "read", fixtures: zips("hostile_stack_global_memo") }],
  [71, { what: "EXT1", outcome: "pickle", fixtures: refused("pickle", "ext1.pt") }],
  [
    72,
    {
      what: "_codecs.encode by rot13",
      outcome: "read",
      made: [
        () =>
          zipOf(
            dict([
              [text("w"), tensor()],
              [text("x"), call("_codecs", "encode", text("cevag"), text("rot13"))],
            ]),
          ),
      ],
    },
  ],
  [
    73,
    {
      what: "_load_from_bytes, 50 deep",
      outcome: "limit",
      made: [() => nestedStreams(50)],
      fixtures: refused("limit", "load_from_bytes_deep.pt"),
      except: { load_from_bytes_deep: "pickle" },
    },
  ],
  [74, { what: "pickle.loads inside", outcome: "read", fixtures: zips("hostile_nested_loads") }],
  [
    75,
    {
      what: "frames that lie",
      outcome: "pickle",
      fixtures: refused("pickle", "frame_too_long.pt", "frame_cuts_opcode.pt"),
      made: [
        () => frame(10 ** 6, "N."),
        () => frame(2n ** 63n, "N."),
        () => frame(3, "N.abc"),
        () => frame(1, "K\x01."),
        () => frame(5, "X", u32(1), "a."),
        () => frame(3, "]\x95", u64(2), "Na."),
        () => frame(2, "]c", "os\nsystem\n."),
        () => frame(4, "B", u32(3), "abc."),
      ],
    },
  ],
  [76, { what: "PROTO twice, or in the middle", outcome: "pickle", made: [() => zipOf("\x80\x02N"), () => zipOf("N\x80\x02")] }],
  [77, { what: "LONG4 of 100 MB", outcome: "limit", made: [() => zipOf("\x8b", u32(100_000_000), new Uint8Array(100_000_000))] }],
  [78, { what: "names of sentinels", outcome: "read", fixtures: zips("hostile_sentinel_names") }],
  [79, { what: "__proto__ and its like", outcome: "read", fixtures: zips("proto_keys_build") }],
  [80, { what: "bytes behind STOP", outcome: "read", fixtures: zips("bytes_after_stop") }],
  [
    81,
    { what: "the magic number out of eval", outcome: "unknown-format", fixtures: refused("unknown-format", "legacy_magic_from_eval.pt") },
  ],
];
