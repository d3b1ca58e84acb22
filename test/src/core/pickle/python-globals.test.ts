import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { read, readPlain } from "../../support/plain-tree.ts";
import { bytesOf, call, dict, global, int, type Part, pickle, text, tuple } from "../../support/write-pickle.ts";

const value = (part: Part): unknown => readPlain(pickle(part));
const TWO_POINT_ZERO = "G\x40\x00\x00\x00\x00\x00\x00\x00";

describe("Python's own types", () => {
  it("lists, sets and deques are made of sequences, which stay as they are", () => {
    const list = bytesOf("](K\x01K\x02e");
    for (const type of ["list", "tuple", "set", "frozenset"]) {
      expect(value(call("builtins", type, list))).to.deep.equal([type, 1, 2]);
      expect(value(call("__builtin__", type))).to.deep.equal([type]);
    }
    expect(value(call("collections", "deque", list, int(5)))).to.deep.equal(["deque", 1, 2]);
    const shared = bytesOf(list, "q\x00", global("builtins", "list"), "h\x00\x85RK\x03ah\x00\x87");
    expect(value(shared)).to.deep.equal(["tuple", ["list", 1, 2], ["list", 1, 2, 3], ["list", 1, 2]]);
  });

  it("dicts are made of nothing, of a dict, of pairs", () => {
    const pairs = bytesOf("]](", text("a"), "K\x01ea](", text("b"), "K\x02ea");
    for (const type of ["OrderedDict", "Counter"]) {
      expect(value(call("collections", type))).to.deep.equal([type]);
      expect(value(call("collections", type, dict([[text("a"), int(1)]])))).to.deep.equal([type, ["a", 1]]);
    }
    expect(value(call("collections", "OrderedDict", pairs))).to.deep.equal(["OrderedDict", ["a", 1], ["b", 2]]);
    expect(value(call("builtins", "dict", pairs))).to.deep.equal(["dict", ["a", 1], ["b", 2]]);
    const factory = call("collections", "defaultdict", global("builtins", "list"), dict([[text("a"), int(1)]]));
    expect(value(factory)).to.deep.equal(["defaultdict", ["a", 1]]);
    expect(value(call("collections", "defaultdict", "N"))).to.deep.equal(["defaultdict"]);
  });

  it("bytes come from nothing, bytes and Latin-1", () => {
    expect(value(call("builtins", "bytes"))).to.equal("hex:");
    expect(value(call("builtins", "bytearray", "C\x01a"))).to.equal("hex:61");
    expect(value(call("builtins", "bytearray", text("é"), text("latin-1")))).to.equal("hex:e9");
    expect(value(call("_codecs", "encode", "U\x01\xe9", text("latin1")))).to.equal("hex:e9");
  });

  it("complex numbers come from floats and ints", () => {
    expect(value(call("builtins", "complex", TWO_POINT_ZERO, int(-1)))).to.deep.equal({ re: 2, im: -1 });
    expect(value(call("builtins", "complex", int(3)))).to.deep.equal({ re: 3, im: 0 });
  });

  it("copyreg's calls are NEWOBJ in other words", () => {
    expect(value(call("copy_reg", "__newobj__", global("acme", "Thing"), int(1)))).to.deep.equal({ global: "acme.Thing", args: [1] });
    expect(value(call("copyreg", "__newobj__", global("collections", "OrderedDict")))).to.deep.equal(["OrderedDict"]);
    const made = call("copy_reg", "_reconstructor", global("acme", "Thing"), global("__builtin__", "object"), "N");
    expect(value(bytesOf(made, dict([[text("a"), int(1)]]), "b"))).to.deep.equal({ global: "acme.Thing", state: ["dict", ["a", 1]] });
    const based = call("copy_reg", "_reconstructor", global("acme", "Dict"), global("__builtin__", "dict"), dict([]));
    expect(value(based)).to.deep.equal({ global: "acme.Dict", args: [["dict"]] });
  });

  it("lists of TorchScript are lists, tags are only tags", () => {
    const ints = call("torch.jit._pickle", "build_intlist", bytesOf("](K\x01K\x02e"));
    expect(value(ints)).to.deep.equal(["list", 1, 2]);
    expect(value(call("torch.jit._pickle", "restore_type_tag", ints, text("List[int]")))).to.deep.equal(["list", 1, 2]);
  });

  it("refuse arguments they do not take", async () => {
    const wrong: readonly Uint8Array[] = [
      call("builtins", "list", int(1)),
      call("builtins", "set", text("ab")),
      call("collections", "OrderedDict", int(1)),
      call("collections", "OrderedDict", bytesOf("]K\x01a")),
      call("collections", "OrderedDict", bytesOf("]](", text("a"), "ea")),
      call("builtins", "bytearray", int(3)),
      call("builtins", "bytearray", text("\u4e16"), text("latin-1")),
      call("_codecs", "encode", text("\u4e16"), text("latin1")),
      call("_codecs", "encode", int(1), text("latin1")),
      call("builtins", "complex", text("1")),
      call("copyreg", "__newobj__"),
      call("copyreg", "_reconstructor", text("x")),
      call("torch.jit._pickle", "restore_type_tag"),
      call("torch", "Size", int(1)),
      call("numpy", "dtype"),
      call("numpy.core.multiarray", "_reconstruct", text("x")),
      call("numpy.core.multiarray", "scalar", text("x"), text("y")),
    ];
    for (const bytes of wrong) await expectError("RANKCAST_PICKLE_CALL", () => value(bytes));
    await expectError("RANKCAST_PICKLE_KEY", () => value(call("collections", "OrderedDict", bytesOf("]](]K\x01ea"))));
  });
});

describe("numpy's arrays", () => {
  const made = "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R";
  const dtype = (type: string): Uint8Array => call("numpy", "dtype", text(type), "\x89", "\x88");
  const array = (...state: Part[]): unknown => value(bytesOf(made, tuple(...state), "b"));
  const FOUR = "C\x04abcd";

  it("have a content of exactly the right size", async () => {
    expect(array(int(1), tuple(int(4)), dtype("u1"), "\x89", FOUR)).to.include({ dtype: "uint8" });
    expect(array(tuple(int(2), int(2)), dtype("u1"), "\x88", FOUR)).to.deep.include({ stride: [1, 2] });
    for (const shape of [[int(3)], [int(5)], [int(2 ** 40), int(2 ** 40)], [int(2 ** 52), int(16), int(0)], [int(-4)], [int(2n ** 64n)]]) {
      await expectError("RANKCAST_TENSOR_LAYOUT", () => array(int(1), tuple(...shape), dtype("u1"), "\x89", FOUR));
    }
  });

  it("have a content of bytes, or of a text of Latin-1", async () => {
    expect(array(int(1), tuple(int(2)), dtype("u1"), "\x89", text("é\x01"))).to.include({ dtype: "uint8" });
    for (const content of ["]", "N", int(1), text("\u4e16")]) {
      await expectError("RANKCAST_PICKLE_CALL", () => array(int(1), tuple(int(1)), dtype("u1"), "\x89", content));
    }
  });

  it("refuse a state that is none, twice, or without a dtype", async () => {
    for (const state of [[], [int(1)], [int(1), tuple(int(4)), text("u1"), "\x89", FOUR]])
      await expectError("RANKCAST_PICKLE_CALL", () => array(...state));
    const objects = tuple(int(1), tuple(int(1)), dtype("O8"), "\x89", "]");
    await expectError("RANKCAST_PICKLE_CALL", () => value(bytesOf(made, objects, "b", objects, "b")));
    expect(value(bytesOf(made, objects, "b"))).to.have.property("global", "numpy.ndarray");
  });

  it("that never get a state, or are of another class, stay objects", () => {
    expect(value(made)).to.deep.equal({ global: "numpy.ndarray" });
    expect(
      value(bytesOf("cnumpy.core.multiarray\n_reconstruct\n", global("acme", "Array"), "K\x00\x85C\x01b\x87R", tuple(int(1)), "b")),
    ).to.deep.equal({
      global: "acme.Array",
      state: ["tuple", 1],
    });
  });

  it("are one object wherever the memo has them", () => {
    const shared = bytesOf("](", made, "q\x05", tuple(int(1), tuple(int(4)), dtype("u1"), "\x89", FOUR), "bh\x05e");
    const { elements } = read(pickle(shared)) as unknown as { elements: unknown[] };
    expect(elements[0]).to.equal(elements[1]);
    expect(elements[0]).to.have.property("kind", "tensor");
  });

  it("as scalars are swapped by component when they are big-endian", () => {
    const scalar = (type: string, content: string): unknown =>
      value(call("numpy.core.multiarray", "scalar", dtype(type), `C${String.fromCharCode(content.length)}${content}`));
    expect(scalar(">i2", "\x01\x02")).to.equal(258);
    expect(scalar("<i2", "\x01\x02")).to.equal(513);
    expect(scalar(">c8", "\x3f\x80\0\0\xc0\0\0\0")).to.deep.equal({ re: 1, im: -2 });
    expect(() => scalar("<i2", "\x01")).to.throw("needs 2 bytes, its content has 1");
  });

  it("have a byte order, given once", async () => {
    const ordered = (order: string, ...more: Part[]): Uint8Array =>
      bytesOf(dtype("f4"), tuple(int(3), text(order), "N", "N", "N", int(-1), int(-1), int(0)), "b", ...more);
    const swapBytes = (type: Uint8Array): unknown =>
      (read(pickle(made, tuple(int(1), tuple(int(1)), type, "\x89", FOUR), "b")) as unknown as { storage: { swapBytes: number } }).storage
        .swapBytes;
    expect([swapBytes(ordered("<")), swapBytes(ordered(">")), swapBytes(ordered("=")), swapBytes(dtype(">f4"))]).to.deep.equal([
      1, 4, 1, 4,
    ]);
    await expectError("RANKCAST_PICKLE_CALL", () => value(ordered("!")));
    await expectError("RANKCAST_PICKLE_CALL", () => value(ordered("<", tuple(int(3), text("<"), "N", "N", "N"), "b")));
    await expectError("RANKCAST_PICKLE_CALL", () => value(bytesOf(dtype("f4"), int(1), "b")));
  });
});
