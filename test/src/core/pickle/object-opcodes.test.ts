import { compileLimits } from "@rankcast/core";
import { type GlobalRef, globalKey, KNOWN_GLOBALS, OpaqueValue, readPickle, type TreeValue } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { plain, read, readPlain } from "../../support/plain-tree.ts";
import { bytesOf, type Part, text } from "../../support/write-pickle.ts";

const one = (...parts: readonly Part[]): unknown => readPlain(bytesOf(...parts, "."));
const THING = "cacme.bits\nThing\n";

describe("opcodes of globals and objects", () => {
  it("names a global by text or from the stack, one object per name", () => {
    expect(one(THING)).to.deep.equal({ global: "acme.bits.Thing" });
    expect(one(text("acme.bits"), text("Thing"), "\x93")).to.deep.equal({ global: "acme.bits.Thing" });
    const pair = read(bytesOf(THING, text("acme.bits"), text("Thing"), "\x93\x86.")) as unknown as { elements: unknown[] };
    expect(pair.elements[0]).to.equal(pair.elements[1]);
  });

  it("renames what moved since Python 2 before it looks at a name", () => {
    const names: readonly (readonly [string, string, boolean])[] = [
      ["c__builtin__\neval\n", "builtins.eval", true],
      ["c__builtin__\nreduce\n", "functools.reduce", true],
      ["ccommands\ngetoutput\n", "subprocess.getoutput", true],
      ["ccPickle\nloads\n", "pickle.loads", true],
      ["cexceptions\nValueError\n", "builtins.ValueError", false],
      ["cexceptions\neval\n", "exceptions.eval", false],
      ["ccopy_reg\n_extension_registry\n", "copyreg._extension_registry", false],
    ];
    for (const [opcodes, global, dangerous] of names) {
      expect(one(opcodes)).to.deep.equal({ global, ...(dangerous ? { dangerous } : {}) });
    }
  });

  it("calls nothing: REDUCE, NEWOBJ, NEWOBJ_EX, INST and OBJ give inert objects", () => {
    const expected = { global: "acme.bits.Thing", args: [1, "a"] };
    expect(one(THING, "K\x01U\x01a\x86R")).to.deep.equal(expected);
    expect(one(THING, "K\x01U\x01a\x86\x81")).to.deep.equal(expected);
    expect(one(THING, "K\x01U\x01a\x86}\x92")).to.deep.equal(expected);
    expect(one("(K\x01U\x01aiacme.bits\nThing\n")).to.deep.equal(expected);
    expect(one("(", THING, "K\x01U\x01ao")).to.deep.equal(expected);
    expect(one(THING, "K\x01\x85}U\x01kK\x02s\x92")).to.deep.equal({ global: "acme.bits.Thing", args: [1, ["dict", ["k", 2]]] });
  });

  it("a call of what a call gave keeps it as the first argument", () => {
    expect(one("cbuiltins\ngetattr\n", THING, "U\x01m\x86RK\x01\x85R")).to.deep.equal({
      global: "builtins.getattr",
      args: [{ global: "builtins.getattr", args: [{ global: "acme.bits.Thing" }, "m"], dangerous: true }, 1],
      dangerous: true,
    });
  });

  it("a known class answers however it is made", () => {
    const expected = ["OrderedDict"];
    expect(one("ccollections\nOrderedDict\n)R")).to.deep.equal(expected);
    expect(one("ccollections\nOrderedDict\n)\x81")).to.deep.equal(expected);
    expect(one("ccollections\nOrderedDict\n)}\x92")).to.deep.equal(expected);
    expect(one("(icollections\nOrderedDict\n")).to.deep.equal(expected);
    expect(one("(ccollections\nOrderedDict\no")).to.deep.equal(expected);
  });

  it("BUILD gives an object its state, once, and a dict its attributes", async () => {
    expect(one(THING, ")\x81}U\x01aK\x01sb")).to.deep.equal({ global: "acme.bits.Thing", state: ["dict", ["a", 1]] });
    await expectError("RANKCAST_PICKLE_TARGET", () => one(THING, ")\x81}b}b"));
    const dict = "ccollections\nOrderedDict\n)R";
    const expected = ["OrderedDict", { attributes: ["dict", ["_metadata", ["dict"]], ["x", 1]] }];
    expect(one(dict, "}U\x09_metadata}sb}U\x01xK\x01sb")).to.deep.equal(expected);
    expect(one(dict, "}U\x09_metadata}s}U\x01xK\x01s\x86b")).to.deep.equal(expected);
    expect(one(dict, "N}U\x09_metadata}s\x86b")).to.deep.equal(["OrderedDict", { attributes: ["dict", ["_metadata", ["dict"]]] }]);
  });

  it("refuses BUILD on what takes no state", async () => {
    for (const target of ["N", "K\x01", "]", ")", "}", "\x8f", "U\x01a", THING]) {
      await expectError("RANKCAST_PICKLE_TARGET", () => one(target, "}b"));
    }
    await expectError("RANKCAST_PICKLE_TARGET", () => one("ccollections\nOrderedDict\n)R]b"));
  });

  it("refuses calls without a callable, a tuple or a class", async () => {
    for (const wrong of ["K\x05)R", "N)R", "U\x02os)R", "])R", `${THING}]R`, `${THING}NR`, `${THING}}R`, "K\x05)\x81", `${THING})R)\x81`]) {
      await expectError("RANKCAST_PICKLE_TARGET", () => one(wrong));
    }
    for (const wrong of ["(K\x01o", "(o", `${THING})N\x92`, `K\x01)}\x92`]) await expectError("RANKCAST_PICKLE_TARGET", () => one(wrong));
    for (const wrong of ["K\x01K\x02\x93", "U\x01aK\x02\x93", "]U\x01a\x93"]) await expectError("RANKCAST_PICKLE_TARGET", () => one(wrong));
  });

  it("refuses names that are no text, too long, too many, or cut", async () => {
    await expectError("RANKCAST_PICKLE_TEXT", () => one("c\xff\nThing\n"));
    await expectError("RANKCAST_LIMIT", () => one(`cacme\n${"x".repeat(513)}\n`));
    expect(one(`cacme\n${"x".repeat(512)}\n`)).to.have.property("global");
    await expectError("RANKCAST_PICKLE_TRUNCATED", () => one("cacme"));
    await expectError("RANKCAST_PICKLE_TRUNCATED", () => readPlain(bytesOf("cacme\nThing")));
    const many = Array.from({ length: 20 }, (_, at) => `cacme\nThing${at}\n0`);
    await expectError("RANKCAST_LIMIT", () => read(bytesOf(...many, "N."), {}, { pickleGlobals: 19 }));
  });

  it("lists every global once", () => {
    const { globals } = readPickle(bytesOf(THING, THING, "cos\nsystem\n\x87."), {
      limits: compileLimits(),
      where: { file: "f", baseOffset: 0 },
    });
    expect(globals.map(({ global, dangerous }: GlobalRef) => [global, dangerous])).to.deep.equal([
      ["acme.bits.Thing", false],
      ["os.system", true],
    ]);
  });

  it("asks the caller for persistent ids, in text and as values", async () => {
    const asked: unknown[] = [];
    const persistentLoad = (id: TreeValue): TreeValue => {
      asked.push(plain(id));
      return asked.length;
    };
    expect(plain(read(bytesOf("Pkey 1\nK\x07Q\x86."), { persistentLoad }))).to.deep.equal(["tuple", 1, 2]);
    expect(asked).to.deep.equal(["key 1", 7]);
    await expectError("RANKCAST_PICKLE_PERSISTENT_ID", () => one("NQ"));
    await expectError("RANKCAST_LIMIT", () => read(bytesOf("NQNQNQ."), { persistentLoad }, { persistentIds: 2 }));
  });

  it("takes more known globals from the caller", () => {
    const globals = new Map(KNOWN_GLOBALS);
    globals.set(globalKey("acme.bits", "Thing"), { call: (args) => new OpaqueValue("seen", args) });
    expect(plain(read(bytesOf(THING, "K\x01\x85R."), { globals }))).to.deep.equal({ global: "seen", args: [1] });
  });

  it("refuses what needs the program that wrote it, and bytes that are no opcode", async () => {
    for (const wrong of ["\x82\x01", "\x83\x01\x02", "\x84\x01\x02\x03\x04", "\x97", "\xff", "\x00", " "]) {
      await expectError("RANKCAST_PICKLE_OPCODE", () => one("N", wrong));
    }
    expect(one("C\x01a\x98")).to.equal("hex:61");
  });
});
