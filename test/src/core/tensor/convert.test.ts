/** Conversions against what torch 2.13 answered: test/fixtures/numeric/casts.json, made by record_casts.py beside it. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { DTYPES, type DType, Storage } from "@rankcast/core";
import { convertElements, decodeTable, isConvertible, isSmallFloat, type SmallFloat } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";

interface Recorded {
  readonly nan: Record<string, string>;
  readonly decode: Record<SmallFloat, string>;
  readonly encode: Record<SmallFloat, { count: number; sha256: string }>;
  readonly sources: Record<DType, string>;
  readonly pairs: Record<string, string>;
}
const RECORDED: Recorded = JSON.parse(readFileSync(new URL("../../../fixtures/numeric/casts.json", import.meta.url), "utf8"));
const COMPONENT: Partial<Record<DType, DType>> = { complex32: "float16", complex64: "float32", complex128: "float64" };
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const itemBytes = (dtype: DType) => (DTYPES.get(dtype)?.bits ?? 0) / 8;

function storageOf(bytes: Uint8Array, misalign = 0): Storage {
  const storage = Storage.allocate(bytes.length + misalign);
  storage.bytes(misalign).set(bytes);
  return storage;
}

/** Every NaN as the one pattern that the recording uses: torch's own paths differ in sign and payload. */
function canonical(dtype: DType, storage: Storage): Uint8Array {
  const part = COMPONENT[dtype] ?? dtype;
  const bytes = storage.bytes().slice();
  const nan = Buffer.from(RECORDED.nan[part] ?? "", "hex");
  for (let at = 0; nan.length > 0 && at < bytes.length; at += nan.length) if (isNaNAt(part, bytes, at)) bytes.set(nan, at);
  return bytes;
}

function isNaNAt(dtype: DType, bytes: Uint8Array, at: number): boolean {
  const view = new DataView(bytes.buffer, at);
  if (dtype === "float32") return Number.isNaN(view.getFloat32(0, true));
  if (dtype === "float64") return Number.isNaN(view.getFloat64(0, true));
  if (!isSmallFloat(dtype)) return false;
  const bits = decodeTable(dtype)[itemBytes(dtype) === 2 ? view.getUint16(0, true) : view.getUint8(0)] as number;
  return (bits & 0x7fff_ffff) > 0x7f80_0000;
}

function convert(from: DType, source: Uint8Array, to: DType, misalign = 0): Storage {
  const count = source.length / itemBytes(from);
  const target = Storage.allocate(count * itemBytes(to) + misalign);
  convertElements(
    { dtype: from, storage: storageOf(source, misalign), byteOffset: misalign },
    { dtype: to, storage: target, byteOffset: misalign },
    count,
  );
  return new Storage(target.buffer, misalign, count * itemBytes(to));
}

/** Every pattern of a small float, in order. */
function patterns(dtype: SmallFloat): Uint8Array {
  return itemBytes(dtype) === 1
    ? Uint8Array.from({ length: 256 }, (_, n) => n)
    : new Uint8Array(Uint16Array.from({ length: 65_536 }, (_, n) => n).buffer);
}

/** The float32 inputs that decide every rounding: see `encode` in record_casts.py. */
function deciders(dtype: SmallFloat): Float32Array {
  const decoded = new Float32Array(convert(dtype, patterns(dtype), "float32").bytes().slice().buffer);
  const values = [...new Set([...decoded].filter(Number.isFinite).map(Math.abs))].sort((a, b) => a - b);
  const step = (value: number, by: number) => {
    const float = new Float32Array([value]);
    const bits = new Uint32Array(float.buffer);
    bits[0] = (bits[0] ?? 0) + by;
    return float[0] ?? 0;
  };
  return Float32Array.from(
    values.slice(1).flatMap((high, at) => {
      const low = values[at] ?? 0;
      const middle = (low + high) / 2;
      return [low, step(middle, -1), middle, step(middle, 1)].flatMap((value) => [value, -value]);
    }),
  );
}

describe("tensor/convert", () => {
  const small = [...DTYPES.keys()].filter(isSmallFloat);

  for (const dtype of small) {
    it(`decodes every pattern of ${dtype} as torch does`, () => {
      expect(sha256(canonical("float32", convert(dtype, patterns(dtype), "float32")))).to.equal(RECORDED.decode[dtype]);
    });

    it(`rounds to ${dtype} as torch does, on both sides of every tie`, () => {
      const inputs = deciders(dtype);
      expect(inputs.length).to.equal(RECORDED.encode[dtype].count);
      expect(sha256(canonical(dtype, convert("float32", new Uint8Array(inputs.buffer), dtype)))).to.equal(RECORDED.encode[dtype].sha256);
    });

    it(`gives back every pattern of ${dtype} after a way through float32 and float64`, () => {
      const before = canonical(dtype, storageOf(patterns(dtype)));
      for (const wide of ["float32", "float64"] as const) {
        const back = convert(wide, convert(dtype, patterns(dtype), wide).bytes(), dtype);
        expect(Buffer.compare(canonical(dtype, back), before)).to.equal(0);
      }
    });
  }

  for (const from of Object.keys(RECORDED.sources) as DType[]) {
    it(`converts ${from} to every other type as torch does`, () => {
      const source = Buffer.from(RECORDED.sources[from], "base64");
      const wrong = (Object.keys(RECORDED.sources) as DType[]).filter(
        (to) => sha256(canonical(to, convert(from, source, to))).slice(0, 16) !== RECORDED.pairs[`${from}>${to}`],
      );
      expect(wrong).to.deep.equal([]);
    });
  }

  it("gives the same from and to misaligned bytes", () => {
    for (const [from, to] of [
      ["bfloat16", "float32"],
      ["float32", "float16"],
      ["int64", "float64"],
      ["float64", "int64"],
      ["complex64", "complex128"],
    ] as const) {
      const source = Buffer.from(RECORDED.sources[from], "base64");
      expect(Buffer.compare(convert(from, source, to, 1).bytes(), convert(from, source, to).bytes()), `${from} ${to}`).to.equal(0);
    }
  });

  it("works across blocks and from shared memory", () => {
    const count = 20_001;
    const shared = Storage.allocate(2 * count, { shared: true });
    const halves = new Uint16Array(shared.buffer as SharedArrayBuffer);
    halves.forEach((_, at) => {
      halves[at] = at;
    });
    const target = Storage.allocate(4 * count, { shared: true });
    convertElements({ dtype: "float16", storage: shared, byteOffset: 0 }, { dtype: "float32", storage: target, byteOffset: 0 }, count);
    const expected = decodeTable("float16").subarray(0, count);
    expect(Buffer.compare(target.bytes(), new Uint8Array(expected.buffer, 0, 4 * count))).to.equal(0);
  });

  it("counts any byte but 0 as true in a bool", () => {
    expect([...convert("bool", Uint8Array.of(0, 1, 2, 255), "uint8").bytes()]).to.deep.equal([0, 1, 1, 1]);
  });

  it("refuses types whose elements are no numbers by themselves", async () => {
    for (const dtype of ["quint8", "qint32", "quint4x2", "bits8", "float4_e2m1fn_x2", "float6_e2m3"] as const) {
      expect(isConvertible(dtype, "float32"), dtype).to.equal(false);
      expect(isConvertible("float32", dtype), dtype).to.equal(false);
      const error = await expectError("RANKCAST_TENSOR_DTYPE", () => convert(dtype, new Uint8Array(0), "float32"));
      expect(error.message).to.contain(`${dtype} cannot be converted to float32`);
    }
  });
});
