import type { TreeDict } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { read, readPlain } from "../../support/plain-tree.ts";
import { bytesOf, type Part, text } from "../../support/write-pickle.ts";

const one = (...parts: readonly Part[]): unknown => readPlain(bytesOf(...parts, "."));

describe("opcodes of containers", () => {
  it("makes empty ones", () => {
    expect([one("]"), one(")"), one("}"), one("\x8f")]).to.deep.equal([["list"], ["tuple"], ["dict"], ["set"]]);
  });

  it("makes them of what is above the MARK", () => {
    expect(one("K\x09(K\x01K\x02l\x86")).to.deep.equal(["tuple", 9, ["list", 1, 2]]);
    expect(one("(t")).to.deep.equal(["tuple"]);
    expect(one("(K\x01K\x02K\x03t")).to.deep.equal(["tuple", 1, 2, 3]);
    expect(one("(U\x01aK\x01d")).to.deep.equal(["dict", ["a", 1]]);
    expect(one("(K\x01\x91")).to.deep.equal(["frozenset", 1]);
  });

  it("TUPLE1 to TUPLE3 keep the order", () => {
    expect(one("K\x01\x85")).to.deep.equal(["tuple", 1]);
    expect(one("K\x01K\x02\x86")).to.deep.equal(["tuple", 1, 2]);
    expect(one("K\x01K\x02K\x03\x87")).to.deep.equal(["tuple", 1, 2, 3]);
  });

  it("fills lists, sets and dicts, in batches and one by one", () => {
    expect(one("]K\x01a(K\x02K\x03e(e")).to.deep.equal(["list", 1, 2, 3]);
    expect(one("\x8f(K\x01\x90(K\x02\x90")).to.deep.equal(["set", 1, 2]);
    expect(one("}K\x01Ns(K\x02NK\x03Nu(u")).to.deep.equal(["dict", [1, null], [2, null], [3, null]]);
  });

  it("appends to a deque", () => {
    expect(one("ccollections\ndeque\n)R(K\x01K\x02e")).to.deep.equal(["deque", 1, 2]);
  });

  it("a key written twice keeps its first place and its last value, as in Python", () => {
    expect(one("}(U\x01aK\x01U\x01bK\x02U\x01aK\x03u")).to.deep.equal(["dict", ["a", 3], ["b", 2]]);
  });

  it("keeps names that JavaScript gives a meaning", () => {
    const names = ["__proto__", "constructor", "toString", "hasOwnProperty", ""];
    const value = read(bytesOf("}(", ...names.flatMap((name) => [text(name), "}(", text("x"), "\x88u"]), "u."));
    expect([...(value as TreeDict).entries.keys()]).to.deep.equal(names);
    expect(({} as Record<string, unknown>)["x"]).to.equal(undefined);
  });

  it("refuses keys without a value and targets of the wrong kind", async () => {
    await expectError("RANKCAST_PICKLE_STACK", () => one("}(K\x01NK\x02u"));
    await expectError("RANKCAST_PICKLE_STACK", () => one("(K\x01d"));
    for (const target of ["]", ")", "N", "K\x01", "U\x01a", "\x8f", "cacme\nThing\n"]) {
      await expectError("RANKCAST_PICKLE_TARGET", () => one(target, "K\x01Ns"));
      await expectError("RANKCAST_PICKLE_TARGET", () => one(target, "(K\x01Nu"));
    }
    for (const target of ["}", ")", "N", "\x8f", "cacme\nThing\n"]) {
      await expectError("RANKCAST_PICKLE_TARGET", () => one(target, "K\x01a"));
      await expectError("RANKCAST_PICKLE_TARGET", () => one(target, "(K\x01e"));
    }
    for (const target of ["}", ")", "]", "N"]) await expectError("RANKCAST_PICKLE_TARGET", () => one(target, "(K\x01\x90"));
  });

  it("needs a target below the MARK", async () => {
    for (const opcode of ["u", "e", "\x90"]) {
      await expectError("RANKCAST_PICKLE_STACK", () => one("(", opcode));
      await expectError("RANKCAST_PICKLE_STACK", () => one("](", "(", opcode));
    }
    for (const opcode of ["t", "l", "d", "\x91", "1"]) await expectError("RANKCAST_PICKLE_STACK", () => one("N", opcode));
  });

  it("refuses lists and dicts in sets", async () => {
    await expectError("RANKCAST_PICKLE_KEY", () => one("\x8f(]\x90"));
    await expectError("RANKCAST_PICKLE_KEY", () => one("(}\x91"));
    expect(one("\x8f()\x90")).to.deep.equal(["set", ["tuple"]]);
  });

  it("keeps items and elements of unknown classes beside the object", () => {
    expect(one("cacme\nDict\n)\x81(U\x01aK\x01u]K\x02s")).to.deep.equal({
      global: "acme.Dict",
      entries: [
        ["a", 1],
        [["list"], 2],
      ],
    });
    expect(one("cacme\nList\n)\x81(K\x01K\x02e")).to.deep.equal({ global: "acme.List", elements: [1, 2] });
    expect(one("cacme\nSet\n)\x81(K\x01\x90")).to.deep.equal({ global: "acme.Set", elements: [1] });
  });

  it("bounds the heap that small opcodes take", async () => {
    const dicts = bytesOf("](", "}".repeat(5000), "e.");
    await expectError("RANKCAST_LIMIT", () => read(dicts, {}, { pickleValueBytes: 400_000 }));
    expect(read(dicts)).to.have.property("elements").with.length(5000);
    await expectError("RANKCAST_LIMIT", () => read(bytesOf("N", "\x85".repeat(10_000), "."), {}, { pickleValueBytes: 500_000 }));
    await expectError("RANKCAST_LIMIT", () => read(bytesOf("](", "N".repeat(90_000), "e."), {}, { pickleValueBytes: 1_000_000 }));
  });
});
