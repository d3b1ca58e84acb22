import { readFileSync } from "node:fs";
import { type CastLoss, castIsLossy, DTYPES, type DType, describeCast, measureCast, Storage, Tensor } from "@rankcast/core";
import { CAST_LOSSES, isConvertible } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";

const SOURCES: Record<string, string> = JSON.parse(
  readFileSync(new URL("../../../fixtures/numeric/casts.json", import.meta.url), "utf8"),
).sources;
const NUMERIC = [...DTYPES.keys()].filter((dtype) => isConvertible(dtype, dtype));
const one = (dtype: DType, bytes: Uint8Array) =>
  new Tensor({
    dtype,
    shape: [bytes.length / ((DTYPES.get(dtype)?.bits ?? 0) / 8)],
    storage: new Storage(new Uint8Array(bytes).buffer, 0, bytes.length),
  });
const floats = (...values: number[]) => Tensor.from(Float64Array.from(values), [values.length]);
const ints = (...values: bigint[]) => Tensor.from(BigInt64Array.from(values), [values.length]);

describe("tensor/cast-loss describeCast", () => {
  const table: [DType, DType, CastLoss][] = [
    ["float32", "float64", "lossless"],
    ["float16", "float32", "lossless"],
    ["bfloat16", "float32", "lossless"],
    ["float8_e4m3fn", "bfloat16", "lossless"],
    ["float8_e5m2", "float16", "lossless"],
    ["float8_e8m0fnu", "bfloat16", "lossless"],
    ["uint8", "bfloat16", "lossless"],
    ["int8", "float16", "lossless"],
    ["int32", "float64", "lossless"],
    ["uint8", "int16", "lossless"],
    ["bool", "float8_e4m3fn", "lossless"],
    ["float32", "complex64", "lossless"],
    ["uint32", "int64", "lossless"],
    ["float64", "float32", "overflow"],
    ["float32", "float16", "overflow"],
    ["float32", "bfloat16", "rounding"],
    ["bfloat16", "float16", "overflow"],
    ["float16", "bfloat16", "rounding"],
    ["float16", "float8_e5m2", "rounding"],
    ["float16", "float8_e4m3fn", "overflow"],
    ["float8_e5m2", "float8_e5m2fnuz", "overflow"],
    ["float8_e4m3fn", "float8_e4m3fnuz", "overflow"],
    ["int32", "float32", "rounding"],
    ["int64", "float64", "rounding"],
    ["int64", "float16", "overflow"],
    ["int16", "bfloat16", "rounding"],
    ["int64", "int32", "overflow"],
    ["int8", "uint8", "overflow"],
    ["uint64", "int64", "overflow"],
    ["int64", "uint64", "overflow"],
    ["float32", "int64", "overflow"],
    ["float16", "int32", "truncation"],
    ["float8_e4m3fn", "int16", "truncation"],
    ["float16", "int8", "overflow"],
    ["float16", "uint32", "overflow"],
    ["float32", "bool", "truncation"],
    ["int8", "bool", "truncation"],
    ["bool", "bool", "lossless"],
    ["float32", "float8_e8m0fnu", "overflow"],
    ["uint8", "float8_e8m0fnu", "overflow"],
    ["complex64", "float32", "imaginary"],
    ["complex64", "float64", "imaginary"],
    ["complex128", "float32", "overflow"],
    ["complex64", "complex128", "lossless"],
    ["complex64", "int64", "overflow"],
  ];
  for (const [from, to, loss] of table) {
    it(`${from} to ${to} is ${loss}`, () => {
      expect(describeCast(from, to)).to.equal(loss);
    });
  }

  it("promises lossless only where no recorded value is lost", () => {
    const broken = NUMERIC.flatMap((from) =>
      NUMERIC.filter(
        (to) =>
          describeCast(from, to) === "lossless" &&
          measureCast(one(from, Buffer.from(SOURCES[from] ?? "", "base64")), to).loss !== "lossless",
      ).map((to) => `${from}>${to}`),
    );
    expect(broken).to.deep.equal([]);
  });

  it("names a loss at least as bad as what the recorded values suffer, but for the last power of two and NaN", () => {
    const milder = NUMERIC.flatMap((from) =>
      NUMERIC.filter((to) => {
        const found = measureCast(one(from, Buffer.from(SOURCES[from] ?? "", "base64")), to).loss;
        return CAST_LOSSES.indexOf(found) > CAST_LOSSES.indexOf(describeCast(from, to));
      }).map((to) => `${from}>${to} ${describeCast(from, to)}`),
    ).filter((each) => !each.endsWith("truncation"));
    expect(milder).to.deep.equal([
      "float32>bfloat16 rounding",
      "float16>float8_e5m2 rounding",
      "uint8>float8_e4m3fnuz rounding",
      "uint16>float16 rounding",
      "uint16>complex32 rounding",
      "uint16>float8_e5m2 rounding",
      "uint16>float8_e5m2fnuz rounding",
      "complex32>int32 imaginary",
      "complex32>int64 imaginary",
      "complex32>float8_e5m2 imaginary",
      "complex64>bfloat16 imaginary",
    ]);
  });

  it("refuses pairs without a conversion", async () => {
    await expectError("RANKCAST_TENSOR_DTYPE", () => describeCast("quint8", "float32"));
  });
});

describe("tensor/measure-cast", () => {
  const counts = (tensor: Tensor, to: DType) => {
    const found = measureCast(tensor, to);
    expect(Object.values(found.counts).reduce((a, b) => a + b)).to.equal(tensor.elementCount);
    return { loss: found.loss, ...Object.fromEntries(Object.entries(found.counts).filter(([, count]) => count > 0)) };
  };

  it("tells rounding, overflow and survival apart, value by value", () => {
    expect(counts(floats(1, 0.1, 1e300, Number.POSITIVE_INFINITY, Number.NaN, -0), "float32")).to.deep.equal({
      loss: "overflow",
      lossless: 4,
      rounding: 1,
      overflow: 1,
    });
    expect(counts(floats(65504, 65519, 65520, 1e-9), "float16")).to.deep.equal({ loss: "overflow", lossless: 1, rounding: 2, overflow: 1 });
    expect(counts(floats(448, 464, 465, Number.POSITIVE_INFINITY, -1e9), "float8_e4m3fn")).to.deep.equal({
      loss: "overflow",
      lossless: 1,
      rounding: 1,
      overflow: 3,
    });
    expect(counts(floats(1, 3, 0, -2, Number.POSITIVE_INFINITY), "float8_e8m0fnu")).to.deep.equal({
      loss: "overflow",
      lossless: 1,
      rounding: 1,
      overflow: 3,
    });
    expect(counts(floats(57344, Number.POSITIVE_INFINITY), "float8_e5m2fnuz")).to.deep.equal({
      loss: "overflow",
      lossless: 1,
      overflow: 1,
    });
  });

  it("tells truncation from overflow for integers and bools", () => {
    expect(counts(floats(2, -2.5, 300, Number.NaN, -0.5), "int8")).to.deep.equal({
      loss: "overflow",
      lossless: 1,
      truncation: 2,
      overflow: 2,
    });
    expect(counts(floats(1, 0, 2, Number.NaN), "bool")).to.deep.equal({ loss: "truncation", lossless: 2, truncation: 2 });
    expect(counts(Tensor.from(Int16Array.of(-1, 255, 256), [3]), "uint8")).to.deep.equal({ loss: "overflow", lossless: 1, overflow: 2 });
  });

  it("compares 64-bit integers exactly", () => {
    expect(counts(ints(2n ** 53n, 2n ** 53n + 1n, -(2n ** 63n), 2n ** 63n - 1n), "float64")).to.deep.equal({
      loss: "rounding",
      lossless: 2,
      rounding: 2,
    });
    expect(counts(ints(-1n, -(2n ** 63n), 5n), "uint64")).to.deep.equal({ loss: "overflow", lossless: 1, overflow: 2 });
    expect(counts(ints(-1n, 5n, 2n ** 32n), "int32")).to.deep.equal({ loss: "overflow", lossless: 2, overflow: 1 });
    expect(counts(ints(1n, 2n), "bool")).to.deep.equal({ loss: "truncation", lossless: 1, truncation: 1 });
    expect(counts(ints(65504n, 70000n, 2049n), "float16")).to.deep.equal({ loss: "overflow", lossless: 1, overflow: 1, rounding: 1 });
    expect(counts(floats(2 ** 63, 2 ** 62, 0.5, -1), "int64")).to.deep.equal({ loss: "overflow", lossless: 2, truncation: 1, overflow: 1 });
  });

  it("counts dropped imaginary parts only where there are any", () => {
    const pairs = Tensor.from(Float32Array.of(1, 0, 1, 2, Number.NaN, 0), [3], { dtype: "complex64" });
    expect(counts(pairs, "float32")).to.deep.equal({ loss: "imaginary", lossless: 2, imaginary: 1 });
    expect(counts(Tensor.from(Float64Array.of(1, 1e300), [1], { dtype: "complex128" }), "complex64")).to.deep.equal({
      loss: "overflow",
      overflow: 1,
    });
  });

  it("looks through strides, blocks and flags", () => {
    const storage = Storage.allocate(8 * 20_000);
    new Float64Array(storage.buffer as ArrayBuffer)[19_998] = 0.1;
    const strided = new Tensor({ dtype: "float64", shape: [10_000], stride: [2], storage, neg: true });
    expect(counts(strided, "float32")).to.deep.equal({ loss: "rounding", lossless: 9999, rounding: 1 });
    expect(castIsLossy(strided, "float32")).to.equal(true);
    expect(castIsLossy(new Tensor({ dtype: "float64", shape: [9999], stride: [2], storage }), "float32")).to.equal(false);
  });

  it("is free for pairs that lose nothing", () => {
    expect(castIsLossy(new Tensor({ dtype: "bfloat16", shape: [4], storage: new Storage(null, 0, 8) }), "float32")).to.equal(false);
  });
});
