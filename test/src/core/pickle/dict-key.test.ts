import { KeyTuple, type TreeDict } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { read, readPlain } from "../../support/plain-tree.ts";
import { bytesOf, int, type Part } from "../../support/write-pickle.ts";

const dict = (...pairs: readonly Part[]): unknown => readPlain(bytesOf("}(", ...pairs, "u."));
const TWO_POINT_ZERO = "G\x40\x00\x00\x00\x00\x00\x00\x00";

describe("keys of dicts", () => {
  it("may be any plain value, bytes, and tuples of plain values", () => {
    const pairs = bytesOf("U\x01aN", "K\x01N", "NN", "\x88N", "C\x01kN", "K\x01U\x01b\x86N", "K\x01K\x02\x86\x85N");
    expect(dict(pairs)).to.deep.equal([
      "dict",
      ["a", null],
      [1, null],
      [null, null],
      ["hex:6b", null],
      [["key", 1, "b"], null],
      [["key", ["key", 1, 2]], null],
    ]);
  });

  it("are equal as in Python: 1, 1.0 and True are one key, tuples and bytes are compared by content", () => {
    expect(dict("K\x02K\x01", TWO_POINT_ZERO, "K\x02")).to.deep.equal(["dict", [2, 2]]);
    expect(dict("K\x01K\x01\x88K\x02")).to.deep.equal(["dict", [1, 2]]);
    expect(dict("\x88K\x01K\x01K\x02")).to.deep.equal(["dict", [true, 2]]);
    expect(dict("\x89K\x01K\x00K\x02")).to.deep.equal(["dict", [false, 2]]);
    expect(dict("K\x01\x85K\x01\x88\x85K\x02")).to.deep.equal(["dict", [["key", 1], 2]]);
    expect(dict("C\x01aK\x01C\x01aK\x02C\x01bK\x03")).to.deep.equal(["dict", ["hex:61", 2], ["hex:62", 3]]);
    expect(dict("N\x85K\x01)\x85K\x02U\x00\x85K\x03U\x04null\x85K\x04")).to.have.length(5);
  });

  it("tuples of numbers are equal when the numbers are", () => {
    const text = (...parts: number[] | bigint[]): string => new KeyTuple(parts).text;
    expect(text(2 ** 53)).to.equal(text(2n ** 53n));
    expect(text(1.5)).to.not.equal(text(1));
    expect(new KeyTuple(["1"]).text).to.not.equal(text(1));
    expect(new KeyTuple([new KeyTuple([1]), 2]).text).to.not.equal(new KeyTuple([new KeyTuple([1, 2])]).text);
    expect(new KeyTuple(['a","b']).text).to.not.equal(new KeyTuple(["a", "b"]).text);
  });

  it("objects are keys by identity; tuples and frozensets that hold some are kept whole", () => {
    const thing = "cacme\nThing\n)\x81";
    expect(dict(thing, "K\x01", thing, "K\x02")).to.have.length(3);
    expect(dict(thing, "q\x01K\x01h\x01K\x02")).to.deep.equal(["dict", [{ global: "acme.Thing" }, 2]]);
    expect(dict(thing, "\x85K\x01")).to.deep.equal([
      "dict",
      [{ global: "builtins.tuple", args: [["tuple", { global: "acme.Thing" }]] }, 1],
    ]);
    expect(dict("(K\x01\x91K\x01")).to.deep.equal(["dict", [{ global: "builtins.frozenset", args: [["frozenset", 1]] }, 1]]);
  });

  it("refuses what Python cannot hash, in tuples too", async () => {
    for (const key of ["]", "}", "\x8f", "]\x85", "N}\x86", "(]t\x85"]) await expectError("RANKCAST_PICKLE_KEY", () => dict(key, "N"));
  });

  it("bounds tuples by all their parts, so that shared parts cannot explode", async () => {
    expect(dict("(", "K\x01".repeat(8), "tN")).to.have.length(2);
    await expectError("RANKCAST_LIMIT", () => dict("(", "K\x01".repeat(9), "tN"));
    const doubled = Array.from({ length: 40 }, (_, at) => bytesOf("q", at, "h", at, "\x86"));
    await expectError("RANKCAST_LIMIT", () => dict(")", ...doubled, "N"));
    await expectError("RANKCAST_LIMIT", () => dict(")", "\x85".repeat(50_000), "N"));
  });
});

describe("number keys", () => {
  /** V8's hash of an int, as `src/utils/utils.h` has it. */
  function hash(key: number): number {
    let value = (~key + (key << 15)) | 0;
    value ^= value >>> 12;
    value = (value + (value << 2)) | 0;
    value ^= value >>> 4;
    value = Math.imul(value, 2057);
    value ^= value >>> 16;
    return value & 0x3fffffff;
  }

  const colliding: number[] = [];
  for (let key = 0; colliding.length < 3000; key += 1) if ((hash(key) & 0x3fff) === 7) colliding.push(key);

  it("refuses a dict of numbers chosen to have one hash", async () => {
    const error = await expectError("RANKCAST_LIMIT", () => dict(...colliding.map((key) => bytesOf(int(key), "N"))));
    expect(error.details["limit"]).to.equal("collidingNumberKeys");
  });

  it("refuses memo slots chosen so", async () => {
    const chosen: number[] = [];
    for (let key = 2 ** 24; chosen.length < 3000; key += 1) if ((hash(key) & 0x3fff) === 7) chosen.push(key);
    await expectError("RANKCAST_LIMIT", () => readPlain(bytesOf(...chosen.map((key) => `Np${key}\n0`), "N.")));
  });

  it("takes numbers as checkpoints have them: counted, strided, random, negative, fractions, large", () => {
    const count = 20_000;
    let seed = 1;
    const random = (): number => {
      seed = Math.imul(seed, 1103515245) + 12345;
      return seed | 0;
    };
    const series: readonly ((at: number) => number)[] = [(at) => at, (at) => at * 4096, (at) => -at, (at) => at * 65536 + 3, random];
    for (const key of series) {
      const keys = Array.from({ length: count }, (_, at) => key(at));
      const value = read(bytesOf("}(", ...keys.map((each) => bytesOf(int(each), "N")), "u."));
      expect((value as TreeDict).entries.size).to.equal(new Set(keys).size);
    }
    const wide = Array.from({ length: 2000 }, (_, at) => bytesOf(int(2n ** 60n + BigInt(at) * 1024n), "N"));
    expect((read(bytesOf("}(", ...wide, "u.")) as TreeDict).entries.size).to.equal(2000);
  });
});
