/** Pickles that are made to do harm, built by hand. What they have in common: they must be inert, quick, and a value or a typed error. */
import { readdirSync } from "node:fs";
import { OpaqueValue, type TreeDict, TreeList, type TreeValue } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { plain, read, readPlain } from "../../support/plain-tree.ts";
import { bytesOf, call, dict, global, int, pickle, text, tuple, u16, u32 } from "../../support/write-pickle.ts";

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
});
