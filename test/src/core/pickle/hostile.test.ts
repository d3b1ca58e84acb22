/** Pickles that are made to do harm, built by hand. What they have in common: they must be inert, quick, and a value or a typed error. */
import { readdirSync } from "node:fs";
import { compileLimits } from "@rankcast/core";
import { HeapBudget, OpaqueValue, type TreeDict, TreeList, type TreeValue } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { plain, read, readPlain } from "../../support/plain-tree.ts";
import { bytesOf, call, dict, global, int, pickle, text, tuple, u16, u32 } from "../../support/write-pickle.ts";

const LIMITS = compileLimits();
const MARK = "touch rankcast_was_here";

describe("hostile pickles", () => {
  it("a call that asks for harm is an inert value that says so", () => {
    const calls: readonly (readonly [Uint8Array, string])[] = [
      [call("os", "system", text(MARK)), "os.system"],
      [call("posix", "system", text(MARK)), "posix.system"],
      [call("nt", "system", text(MARK)), "nt.system"],
      [call("builtins", "eval", text("1")), "builtins.eval"],
      [call("__builtin__", "exec", text("1")), "builtins.exec"],
      [call("subprocess", "Popen", text(MARK)), "subprocess.Popen"],
      [call("runpy", "_run_code", text("1")), "runpy._run_code"],
      [call("torch.hub", "load", text("x")), "torch.hub.load"],
      [call("pickle", "loads", bytesOf("C\x01.")), "pickle.loads"],
      [call("urllib.request", "urlopen", text("http://localhost")), "urllib.request.urlopen"],
      [call("importlib", "import_module", text("os")), "importlib.import_module"],
      [bytesOf("(", text(MARK), "ios\nsystem\n"), "os.system"],
      [bytesOf("(", global("os", "system"), text(MARK), "o"), "os.system"],
      [bytesOf(text("os"), "\x94", text("system"), "\x94", "00h\x00h\x01\x93", tuple(text(MARK)), "R"), "os.system"],
    ];
    for (const [bytes, name] of calls) {
      const value = read(pickle(bytes));
      expect(value).to.be.instanceOf(OpaqueValue);
      expect([(value as OpaqueValue).global, (value as OpaqueValue).dangerous]).to.deep.equal([name, true]);
    }
    expect(readdirSync(process.cwd())).to.not.include("rankcast_was_here");
  });

  it("names of JavaScript select nothing", () => {
    for (const name of ["constructor", "__proto__", "toString", "hasOwnProperty", "call"]) {
      expect(readPlain(pickle(call(name, name)))).to.deep.equal({ global: `${name}.${name}` });
      expect(readPlain(pickle(call("builtins", name)))).to.deep.equal({ global: `builtins.${name}` });
    }
    expect(readPlain(pickle(global("mark", "mark"), ")\x81"))).to.deep.equal({ global: "mark.mark" });
  });

  it("state with names of JavaScript changes no prototype", () => {
    const state = dict([
      [text("__proto__"), dict([[text("polluted"), "\x88"]])],
      [text("constructor"), int(1)],
    ]);
    const value = read(pickle(global("acme", "Thing"), ")\x81", state, "b")) as OpaqueValue;
    expect([...(value.state as TreeDict).entries.keys()]).to.deep.equal(["__proto__", "constructor"]);
    expect(({} as Record<string, unknown>)["polluted"]).to.equal(undefined);
  });

  it("only Latin-1 is a way to write bytes", () => {
    expect(readPlain(pickle(call("_codecs", "encode", text("é"), text("latin1"))))).to.equal("hex:e9");
    expect(readPlain(pickle(call("_codecs", "encode", text("uryyb"), text("rot13"))))).to.deep.equal({
      global: "_codecs.encode",
      args: ["uryyb", "rot13"],
    });
  });

  it("a tuple of 2^40 leaves is a graph of 40 objects", () => {
    const value = read(pickle(")", ...Array.from({ length: 40 }, (_, at) => bytesOf("q", at, "h", at, "\x86"))));
    const distinct = new Set<TreeValue>();
    for (let next: TreeValue | undefined = value; next instanceof TreeList; next = next.elements[0]) distinct.add(next);
    expect(distinct.size).to.equal(41);
  });

  it("the same graph with floats in it is settled once per object", () => {
    const two = "G\x40\x00\x00\x00\x00\x00\x00\x00";
    const value = read(pickle(two, "\x85", ...Array.from({ length: 40 }, (_, at) => bytesOf("q", at, "h", at, "\x86"))));
    let next: TreeValue | undefined = value;
    while (next instanceof TreeList && next.elements.length === 2) next = next.elements[0];
    expect(plain(next ?? null)).to.deep.equal(["tuple", 2]);
  });

  it("a frozenset of such tuples is not hashed", () => {
    const doubled = Array.from({ length: 40 }, (_, at) => bytesOf("q", at, "h", at, "\x86"));
    expect(read(pickle("()", ...doubled, "\x91"))).to.have.property("type", "frozenset");
  });

  it("100 000 nested lists are read without a stack, floats at the bottom settled", () => {
    const deep = read(pickle("]".repeat(100_000), "G\x40\x00\x00\x00\x00\x00\x00\x00", "a".repeat(100_000)));
    let depth = 0;
    let next: TreeValue | undefined = deep;
    for (; next instanceof TreeList; next = next.elements[0]) depth += 1;
    expect([depth, next]).to.deep.equal([100_000, 2]);
  });

  it("100 000 nested tuples and MARKs too", async () => {
    expect(read(pickle(")", "\x85".repeat(100_000)))).to.have.property("type", "tuple");
    await expectError("RANKCAST_LIMIT", () => read(pickle("(".repeat(100_000), "t".repeat(100_000))));
  });

  it("a value may hold itself, through a list, a dict, a tuple, a state", () => {
    const list = read(pickle("]q\x00h\x00a")) as TreeList;
    expect(list.elements[0]).to.equal(list);
    const made = read(pickle("}q\x00", text("me"), "h\x00s")) as TreeDict;
    expect(made.entries.get("me")).to.equal(made);
    const object = read(pickle(global("acme", "Node"), ")\x81q\x00}", text("me"), "h\x00sb")) as OpaqueValue;
    expect((object.state as TreeDict).entries.get("me")).to.equal(object);
    const withFloat = read(pickle("]q\x00(h\x00G\x40\x00\x00\x00\x00\x00\x00\x00e")) as TreeList;
    expect(withFloat.elements).to.deep.equal([withFloat, 2]);
  });

  it("copies of one large dict or text are counted each time", async () => {
    const entries = bytesOf(...Array.from({ length: 1000 }, (_, at) => bytesOf("M", u16(at), "N")));
    const copies = bytesOf(
      "}(",
      entries,
      "uq\x00](",
      ...Array.from({ length: 1000 }, () => bytesOf("ccollections\nCounter\nh\x00\x85R")),
      "e\x86.",
    );
    await expectError("RANKCAST_LIMIT", () => read(copies, {}, { pickleValueBytes: 10_000_000 }));
    const encoded = bytesOf(
      "X",
      u32(100_000),
      "x".repeat(100_000),
      "q\x00](",
      ...Array.from({ length: 1000 }, () => "c_codecs\nencode\nh\x00U\x06latin1\x86R"),
      "e\x86.",
    );
    await expectError("RANKCAST_LIMIT", () => read(encoded, {}, { pickleValueBytes: 10_000_000 }));
  });

  it("functions that rebuild tensors cannot be nested into each other's arguments", () => {
    const from = global("torch._tensor", "_rebuild_from_type_v2");
    const type = global("acme", "T");
    let args: Uint8Array = bytesOf(")");
    for (let depth = 0; depth < 2000; depth += 1) args = tuple("h\x00", "h\x01", args, "N");
    const value = read(bytesOf(from, "q\x000", type, "q\x010h\x00", args, "R."));
    expect(value).to.be.instanceOf(OpaqueValue);
  });

  it("copyreg's own functions are no classes", async () => {
    const nested = bytesOf("ccopyreg\n__newobj__\nq\x00", "(", "h\x00".repeat(5000), "tR.");
    await expectError("RANKCAST_PICKLE_CALL", () => read(nested));
  });

  it("a small file cannot take much memory", async () => {
    const dicts = pickle("](", "}".repeat(900_000), "e");
    const error = await expectError("RANKCAST_LIMIT", () => read(dicts, { heap: new HeapBudget(LIMITS, dicts.length) }));
    expect(error.details).to.include({ limit: "pickleValueRatio" });
    const few = pickle("](", "}".repeat(100_000), "e");
    expect(read(few, { heap: new HeapBudget(LIMITS, few.length) })).to.be.instanceOf(TreeList);
  });
});

/** Five bytes that make megabytes of work each: without a count of the work every one of these runs for minutes. */
describe("pickles that repeat work on one long value", () => {
  const LONG = "x".repeat(1_000_000);
  const times = (count: number, part: string): Uint8Array => bytesOf("](", part.repeat(count), "e");
  const refused = async (...parts: Uint8Array[]): Promise<void> => {
    const bytes = bytesOf("\x80\x02", ...parts, "\x86.");
    const error = await expectError("RANKCAST_LIMIT", () => read(bytes, { heap: new HeapBudget(LIMITS, bytes.length) }));
    expect(error.details).to.include({ limit: "pickleValueRatio" });
  };
  const memoText = bytesOf("X", u32(LONG.length), LONG, "q\x00");

  it("tuples of a long text as keys", () => refused(memoText, bytesOf("](", "}h\x00\x85Ns".repeat(20_000), "e")));
  it("long bytes as keys", () => refused(bytesOf("B", u32(LONG.length), LONG, "q\x00"), bytesOf("](", "}h\x00Ns".repeat(20_000), "e")));
  it("a long text as the content of arrays", () => {
    const state = tuple(int(1), tuple(int(1_000_000)), call("numpy", "dtype", text("u1"), "\x89", "\x88"), "\x89", "h\x00");
    const made = "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87";
    return refused(
      bytesOf(memoText, state, "q\x01", made, "q\x020cnumpy.core.multiarray\n_reconstruct\nq\x03"),
      times(20_000, "h\x03h\x02Rh\x01b").subarray(0),
    );
  });
  it("a long text as Latin-1 bytes", () =>
    refused(bytesOf(memoText, "X", u32(6), "latin1\x86q\x010c_codecs\nencode\nq\x02"), times(20_000, "h\x02h\x01R")));
  it("long arguments of objects that are called", () =>
    refused(bytesOf("(", "N".repeat(900_000), "tq\x000cacme\nThing\n)Rq\x01"), times(20_000, "h\x01h\x00R")));
  it("long arguments of copyreg", () =>
    refused(bytesOf("(cacme\nThing\n", "N".repeat(900_000), "tq\x000ccopyreg\n__newobj__\nq\x01"), times(20_000, "h\x01h\x00R")));

  it("a long text as a dtype, and a long byte string as one", () => {
    const dtypes = pickle(bytesOf(memoText, "\x85q\x010cnumpy\ndtype\nq\x02"), times(5000, "h\x02h\x01R"), "\x86");
    expect(read(dtypes)).to.have.property("type", "tuple");
    const strings = pickle(
      bytesOf("T", u32(LONG.length), "\xe9", LONG.slice(1), "\x85q\x01cnumpy\ndtype\nq\x02"),
      times(5000, "h\x02h\x01R"),
      "\x87",
    );
    expect(read(strings)).to.have.property("type", "tuple");
  });

  it("texts on which a careless pattern goes back and forth", async () => {
    expect(readPlain(bytesOf("V", "\\".repeat(300_000), "\n."))).to.equal("\\".repeat(300_000));
    expect(readPlain(bytesOf("V", "\\".repeat(300_000), "u0041\n."))).to.equal(`${"\\".repeat(300_000)}u0041`);
    await expectError("RANKCAST_PICKLE_TEXT", () => readPlain(bytesOf("F", "1".repeat(300_000), "x\n.")));
    await expectError("RANKCAST_PICKLE_MEMO", () => readPlain(bytesOf("g", " ".repeat(300_000), "x\n.")));
    await expectError("RANKCAST_PICKLE_TEXT", () => readPlain(bytesOf("S'", "\\".repeat(300_001), "'\n.")));
  });
});
