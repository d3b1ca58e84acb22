/** The strict JSON scanner against JSON.parse, and where it must be stricter. */
import { compileLimits } from "@rankcast/core";
import { JsonScanner } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";

class Fault extends Error {
  readonly fault: string;
  readonly offset: number;
  constructor(fault: string, problem: string, offset: number) {
    super(problem);
    this.fault = fault;
    this.offset = offset;
  }
}

function scannerOf(text: string | Uint8Array, limits: Record<string, number> = {}): JsonScanner {
  return new JsonScanner(typeof text === "string" ? Buffer.from(text) : text, {
    limits: compileLimits(limits),
    where: "test",
    fail: (fault, problem, offset) => {
      throw new Fault(fault, problem, offset);
    },
  });
}

/** A value with objects as lists of pairs, so that duplicates and order stay visible. */
function build(scanner: JsonScanner): unknown {
  switch (scanner.peek()) {
    case "object": {
      const pairs: unknown[] = [];
      scanner.beginObject();
      for (let key = scanner.nextKey(); key !== null; key = scanner.nextKey()) pairs.push([key, build(scanner)]);
      return { pairs };
    }
    case "array": {
      const elements: unknown[] = [];
      scanner.beginArray();
      while (scanner.nextElement()) elements.push(build(scanner));
      return elements;
    }
    case "string":
      return scanner.readString();
    case "number":
      return scanner.readNumber();
    case "null":
      scanner.readNull();
      return null;
    default:
      return scanner.readBoolean();
  }
}

function buildAll(text: string | Uint8Array): unknown {
  const scanner = scannerOf(text);
  const value = build(scanner);
  scanner.end();
  return value;
}

function skipAll(text: string | Uint8Array): void {
  const scanner = scannerOf(text);
  scanner.skipValue();
  scanner.end();
}

function pairsOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(pairsOf);
  if (typeof value === "object" && value !== null) return { pairs: Object.entries(value).map(([key, each]) => [key, pairsOf(each)]) };
  return value;
}

function faultOf(work: () => unknown): Fault {
  try {
    work();
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error("accepted");
}

describe("JsonScanner", () => {
  it("reads what JSON.parse reads", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 8 }), fc.constantFrom(undefined, 1, "\t"), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        expect(buildAll(text)).to.deep.equal(pairsOf(JSON.parse(text)));
        skipAll(text);
      }),
    );
  });

  it("accepts no text that JSON.parse refuses, whether it reads or skips, and refuses only for a reason of its own", () => {
    const seed = Buffer.from('{"a\\n\\u00e9":[1,-2.5e+3,0],"é":{"x":true,"y":null},"😀\\ud83d\\ude00":"/"}');
    fc.assert(
      fc.property(fc.nat(seed.length - 1), fc.nat(255), fc.boolean(), (at, byte, cut) => {
        const text = Uint8Array.from(seed);
        text[at] = byte;
        const bytes = cut ? text.subarray(0, at) : text;
        const ours = attempt(() => buildAll(bytes));
        const skipped = attempt(() => skipAll(bytes));
        const theirs = attempt(() => JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)));
        expect(skipped.ok).to.equal(ours.ok);
        if (ours.ok) expect(theirs.ok).to.equal(true);
        else if (theirs.ok) expect((ours.error as Fault).message).to.match(/surrogate/);
      }),
      { numRuns: 3000 },
    );
  });

  it("shows equal names twice and keeps names that look like integers in place", () => {
    expect(buildAll('{"b":1,"0":2,"b":3,"__proto__":4}')).to.deep.equal({
      pairs: [
        ["b", 1],
        ["0", 2],
        ["b", 3],
        ["__proto__", 4],
      ],
    });
  });

  it("reads unsigned integers exactly up to 2^64-1", () => {
    expect(scannerOf("0").readUnsigned()).to.equal(0);
    expect(scannerOf("123456789012345").readUnsigned()).to.equal(123456789012345);
    expect(scannerOf("9007199254740991").readUnsigned()).to.equal(Number.MAX_SAFE_INTEGER);
    expect(scannerOf("9007199254740993").readUnsigned()).to.equal(9007199254740993n);
    expect(scannerOf("18446744073709551615").readUnsigned()).to.equal(2n ** 64n - 1n);
    expect(faultOf(() => scannerOf("18446744073709551616").readUnsigned()).message).to.contain("2^64-1");
    expect(faultOf(() => scannerOf("1".repeat(100)).readUnsigned()).message).to.contain("2^64-1");
    expect(faultOf(() => scannerOf("9007199254740992").readInteger()).message).to.contain("2^53-1");
  });

  for (const text of ["2.0", "2e0", "2E0", "-0", "-2", "02", "00", "0x2", '"2"', "true", "null", "", "+2", ".5", "NaN"]) {
    it(`takes ${text || "nothing"} for no integer`, () => {
      faultOf(() => {
        const scanner = scannerOf(text);
        scanner.readUnsigned();
        scanner.end();
      });
    });
  }

  for (const [text, offset] of [
    ['{"a":1,}', 7],
    ["[1,]", 3],
    ["[,1]", 1],
    ["[1 2]", 3],
    ['{"a" 1}', 5],
    ['{"a":}', 5],
    ["{'a':1}", 1],
    ["{a:1}", 1],
    ["[1]]", 3],
    ["1\0", 1],
    ["1 // no", 2],
    ["tru", 0],
    ["1.", 2],
    ["1.e2", 2],
    ["1e", 2],
    ["-", 1],
    ["01", 0],
    ['"\\x"', 1],
    ['"\\u12"', 3],
    ['"\\u12g4"', 3],
    ['"a\nb"', 2],
    ['"\\ud800"', 1],
    ['"\\ud800\\u0041"', 1],
    ['"\\udc00"', 1],
    ['"open', 5],
    ['"open\\n', 7],
    ["{", 1],
    ["[", 1],
  ] as const) {
    it(`refuses ${JSON.stringify(text)} at byte ${offset}`, () => {
      expect(faultOf(() => buildAll(text)).offset).to.equal(offset);
      expect(faultOf(() => skipAll(text)).offset).to.equal(offset);
    });
  }

  it("refuses a byte order mark, overlong forms and encoded surrogates, and says where", () => {
    expect(faultOf(() => skipAll("\ufeff{}")).offset).to.equal(0);
    for (const bad of [[0xc0, 0xaf], [0xe0, 0x80, 0xaf], [0xed, 0xa0, 0x80], [0xff], [0xf5, 0x80, 0x80, 0x80], [0xe9]]) {
      const fault = faultOf(() => skipAll(Buffer.concat([Buffer.from('"é'), Buffer.from(bad), Buffer.from('"')])));
      expect([fault.fault, fault.offset]).to.deep.equal(["encoding", 3]);
    }
  });

  it("long strings end exactly at their limit, plain, wide and with escapes", () => {
    // Beyond 64 KiB a string is asked whether it can end in time.
    for (const [size, limit] of [
      [65_535, 65_535],
      [65_536, 65_536],
      [65_537, 65_537],
      [100_000, 100_000],
      [100_000, 200_000],
    ] as const) {
      for (const text of ["x".repeat(size), `${"x".repeat(size - 2)}é`, `${"x".repeat(size - 2)}\\n`]) {
        const literal = `"${text}"`;
        const limits = { jsonStringBytes: limit };
        for (const after of ["", " ".repeat(300_000)])
          expect(scannerOf(literal + after, limits).readString() === JSON.parse(literal), `${size} of ${limit}`).to.equal(true);
      }
      const longer = { jsonStringBytes: size - 1 };
      for (const after of ["", " ".repeat(300_000)])
        expect(() => scannerOf(`"${"x".repeat(size)}"${after}`, longer).readString())
          .to.throw()
          .with.property("code", "RANKCAST_LIMIT");
    }
    expect(faultOf(() => scannerOf(`"${"x".repeat(100_000)}`).readString()).fault).to.equal("syntax");
  });

  it("stops at the depth limit without recursion", () => {
    const deep = `${"[".repeat(200_000)}${"]".repeat(200_000)}`;
    expect(() => skipAll(deep))
      .to.throw()
      .with.property("code", "RANKCAST_LIMIT");
    const scanner = scannerOf(deep, { jsonDepth: 300_000 });
    scanner.skipValue();
    scanner.end();
    expect(() => skipAll(`${"[".repeat(16)}${"]".repeat(16)}`)).not.to.throw();
    expect(() => skipAll("[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]")).not.to.throw();
  });
});

function attempt(work: () => unknown): { ok: true } | { ok: false; error: unknown } {
  try {
    work();
    return { ok: true };
  } catch (error) {
    return { ok: false, error };
  }
}
