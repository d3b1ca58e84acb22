import { expect } from "chai";
import fc from "fast-check";
import { readPlain } from "../../support/plain-tree.ts";
import { bytesOf, u32 } from "../../support/write-pickle.ts";

const PARAMETERS = { numRuns: 100 };

describe("texts of pickles", () => {
  it("decodes what TextEncoder encodes", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 1000 }), (value) => {
        const utf8 = new TextEncoder().encode(value);
        expect(readPlain(bytesOf("X", u32(utf8.length), utf8, "."))).to.equal(value);
      }),
      PARAMETERS,
    );
  });

  it("accepts exactly what a strict decoder accepts, apart from surrogates", () => {
    const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
        const surrogate = bytes.some((byte, at) => byte === 0xed && (bytes[at + 1] ?? 0) >= 0xa0);
        fc.pre(!surrogate);
        const attempt = (decode: () => unknown): unknown => {
          try {
            return decode();
          } catch {
            return "refused";
          }
        };
        expect(attempt(() => readPlain(bytesOf("X", u32(bytes.length), bytes, ".")))).to.equal(attempt(() => strict.decode(bytes)));
      }),
      { numRuns: 3000 },
    );
  });
});
