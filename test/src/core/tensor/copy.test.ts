import { type DType, Storage, Tensor } from "@rankcast/core";
import { copyInto, gatherContiguous } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";
import { expectError } from "../../support/expect-error.ts";
import { arbitraryLayout, naiveBytes, noise, noiseTensor, offsetsOf } from "../../support/strided.ts";

const BY_BYTES: readonly DType[] = ["uint8", "float16", "float32", "int64", "complex128"];
const equal = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;
const float32 = (values: readonly number[], shape: readonly number[]) => Tensor.from(Float32Array.from(values), shape);

describe("tensor/copy gatherContiguous", () => {
  it("gives the elements row-major, whatever the layout and alignment", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...BY_BYTES),
        arbitraryLayout({ expanded: true }),
        fc.nat(99),
        fc.nat(3),
        (dtype, layout, seed, misalign) => {
          const tensor = noiseTensor(dtype, layout, seed, misalign);
          expect(equal(gatherContiguous(tensor).bytes(), naiveBytes(tensor))).to.equal(true);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("transposes planes larger than a tile, for every element size", () => {
    for (const dtype of BY_BYTES) {
      const tensor = noiseTensor(dtype, { shape: [150, 3, 131], stride: [1, 150, 450], offset: 1 }, 7);
      expect(equal(gatherContiguous(tensor).bytes(), naiveBytes(tensor)), dtype).to.equal(true);
    }
  });

  it("keeps every bit of a signalling NaN", () => {
    const words = Uint32Array.of(0x7f80_0001, 0xffbf_ffff, 0x7fa0_0000, 0);
    const tensor = new Tensor({ dtype: "float32", shape: [2, 2], stride: [1, 2], storage: new Storage(words.buffer, 0, 16) });
    expect([...new Uint32Array(gatherContiguous(tensor).buffer as ArrayBuffer)]).to.deep.equal([0x7f80_0001, 0x7fa0_0000, 0xffbf_ffff, 0]);
  });

  it("reads elements that lie gigabytes apart", () => {
    const storage = Storage.allocate(5 * 2 ** 30 + 16);
    for (let at = 0; at < 6; at += 1) storage.bytes(at * 2 ** 30 + 3, 1)[0] = at + 1;
    const tensor = new Tensor({ dtype: "uint8", shape: [6], stride: [2 ** 30], storageOffset: 3, storage });
    expect([...gatherContiguous(tensor).bytes()]).to.deep.equal([1, 2, 3, 4, 5, 6]);
  });

  it("packs sub-byte elements in their bit order", () => {
    const storage = new Storage(Uint8Array.of(0xa1, 0xc3, 0xe5, 0x0f).buffer, 0, 4);
    const nibbles = new Tensor({ dtype: "quint4x2", shape: [2, 3], stride: [1, 2], storageOffset: 1, storage });
    // Elements 1..6 are a 3 c 5 e f; [2, 3] with strides [1, 2] is a c e / 3 5 f.
    expect([...gatherContiguous(nibbles).bytes()]).to.deep.equal([0xca, 0x3e, 0xf5]);
  });

  it("applies neg and conj by the rules of each type", () => {
    const gather = (tensor: Tensor) => gatherContiguous(tensor).bytes();
    const complex = Tensor.from(Float32Array.of(1, 2, -3, 0), [2], { dtype: "complex64" });
    const floats = (bytes: Uint8Array) => [...new Float32Array(bytes.buffer)];
    expect(floats(gather(new Tensor({ ...parts(complex), conj: true })))).to.deep.equal([1, -2, -3, -0]);
    expect(floats(gather(new Tensor({ ...parts(complex), neg: true })))).to.deep.equal([-1, -2, 3, -0]);
    expect(floats(gather(new Tensor({ ...parts(complex), neg: true, conj: true })))).to.deep.equal([-1, 2, 3, 0]);
    const ints = Tensor.from(Int16Array.of(1, -5, 0, -32768, 256), [5]);
    expect([...new Int16Array(gather(new Tensor({ ...parts(ints), neg: true })).buffer)]).to.deep.equal([-1, 5, 0, -32768, -256]);
    const fnuz = Tensor.from(Uint8Array.of(0x00, 0x80, 0x08, 0x88), [4], { dtype: "float8_e4m3fnuz" });
    expect([...gather(new Tensor({ ...parts(fnuz), neg: true }))]).to.deep.equal([0x00, 0x80, 0x88, 0x08]);
  });

  it("refuses to negate what has no negative", async () => {
    for (const dtype of ["bool", "bits8", "quint8", "float8_e8m0fnu"] as const) {
      const tensor = Tensor.from(Uint8Array.of(1), [1], { dtype });
      const error = await expectError("RANKCAST_TENSOR_DTYPE", () => gatherContiguous(new Tensor({ ...parts(tensor), neg: true })));
      expect(error.message).to.contain(dtype);
    }
  });

  it("refuses a small storage that describes a huge tensor, and bounds are adjustable", async () => {
    const bomb = new Tensor({ dtype: "float32", shape: [2 ** 20, 2 ** 20], stride: [0, 0], storage: Storage.allocate(48) });
    const error = await expectError("RANKCAST_LIMIT", () => gatherContiguous(bomb));
    expect(error.details).to.include({ limit: "materialisedRatio", found: 2 ** 42, storageBytes: 48 });
    const expanded = new Tensor({ dtype: "uint8", shape: [9], stride: [0], storage: Storage.allocate(1) });
    expect(gatherContiguous(expanded).nbytes).to.equal(9);
    await expectError("RANKCAST_LIMIT", () => gatherContiguous(expanded, { materialisedRatio: 8, materialisedBytesFloor: 8 }));
    expect(gatherContiguous(expanded, { materialisedRatio: 9, materialisedBytesFloor: 8 }).nbytes).to.equal(9);
  });

  it("refuses meta tensors", async () => {
    const meta = new Tensor({ dtype: "float32", shape: [3], storage: new Storage(null, 0, 12) });
    await expectError("RANKCAST_TENSOR_META", () => gatherContiguous(meta));
  });
});

describe("tensor/copy copyInto", () => {
  it("writes exactly the target's elements, for any two layouts", () => {
    const layouts = fc.tuple(arbitraryLayout({ expanded: true }), arbitraryLayout({ expanded: false })).map(([source, target]) => {
      const rank = Math.min(source.shape.length, target.shape.length);
      return {
        source: { ...source, shape: source.shape.slice(0, rank), stride: source.stride.slice(0, rank) },
        target: { ...target, shape: source.shape.slice(0, rank), stride: spread(source.shape.slice(0, rank), target.stride) },
      };
    });
    fc.assert(
      fc.property(fc.constantFrom(...BY_BYTES), layouts, fc.nat(99), (dtype, { source, target }, seed) => {
        const from = noiseTensor(dtype, source, seed);
        const into = noiseTensor(dtype, target, seed + 1);
        const itemBytes = into.nbytes / Math.max(into.elementCount, 1);
        const expected = into.storage.bytes().slice();
        const values = naiveBytes(from);
        offsetsOf(into.shape, into.stride, into.storageOffset).forEach((offset, at) => {
          expected.set(values.subarray(at * itemBytes, (at + 1) * itemBytes), offset * itemBytes);
        });
        copyInto(into, from);
        expect(equal(into.storage.bytes(), expected)).to.equal(true);
      }),
      { numRuns: 300 },
    );
  });

  it("F19: a transposed source is copied by value, the target keeps its layout", () => {
    const source = new Tensor({ ...parts(float32([1, 2, 3, 4, 5, 6], [3, 2])), shape: [2, 3], stride: [1, 2] });
    const target = float32(new Array(6).fill(0), [2, 3]);
    copyInto(target, source);
    expect([...target.data]).to.deep.equal([1, 3, 5, 2, 4, 6]);
  });

  it("converts while copying, through strides on both sides and across blocks", () => {
    const source = noiseTensor("float16", { shape: [300, 400], stride: [1, 300], offset: 2 }, 3);
    const target = new Tensor({ dtype: "float64", shape: [300, 400], stride: [2, 600], storage: Storage.allocate(8 * 240_000) });
    copyInto(target, source);
    const wanted = source.toFloat32Array();
    const found = gatherContiguous(target);
    expect(equal(new Uint8Array(Float64Array.from(wanted).buffer), found.bytes())).to.equal(true);
    const flat = new Tensor({ dtype: "float64", shape: [300, 400], storage: Storage.allocate(8 * 120_000) });
    copyInto(flat, source);
    expect(equal(flat.storage.bytes(), found.bytes())).to.equal(true);
  });

  it("F9: keeps the target's dtype: overflow to infinity, truncation, dropped imaginary parts", () => {
    const half = new Tensor({ dtype: "float16", shape: [2], storage: Storage.allocate(4) });
    copyInto(half, float32([1e6, 1.5], [2]));
    expect([half.get(0), half.get(1)]).to.deep.equal([Number.POSITIVE_INFINITY, 1.5]);
    const ints = Tensor.from(new Int32Array(4), [4]);
    copyInto(ints, float32([2.9, -2.9, Number.NaN, 3e9], [4]));
    expect([...ints.data]).to.deep.equal([2, -2, -2147483648, -2147483648]);
    const real = float32([0, 0], [2]);
    copyInto(real, Tensor.from(Float32Array.of(1, 9, 2, 9), [2], { dtype: "complex64" }));
    expect([...real.data]).to.deep.equal([1, 2]);
  });

  it("writes under a lazy flag what reads back as the value", () => {
    const storage = Storage.allocate(16);
    const target = new Tensor({ dtype: "complex64", shape: [2], storage, conj: true, neg: true });
    copyInto(target, Tensor.from(Float32Array.of(1, 2, 3, 4), [2], { dtype: "complex64" }));
    expect([target.get(0), target.get(1)]).to.deep.equal([
      { re: 1, im: 2 },
      { re: 3, im: 4 },
    ]);
    expect([...new Float32Array(storage.buffer as ArrayBuffer)]).to.deep.equal([-1, 2, -3, 4]);
  });

  it("copies a source that overlaps its target aside first", () => {
    const values = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9);
    const storage = new Storage(values.buffer, 0, 36);
    const square = new Tensor({ dtype: "float32", shape: [3, 3], storage });
    copyInto(square, new Tensor({ dtype: "float32", shape: [3, 3], stride: [1, 3], storage }));
    expect([...values]).to.deep.equal([1, 4, 7, 2, 5, 8, 3, 6, 9]);
    copyInto(square, square);
    expect([...values]).to.deep.equal([1, 4, 7, 2, 5, 8, 3, 6, 9]);
  });

  it("moves windows of storages beyond 4 GiB", () => {
    const storage = Storage.allocate(6 * 2 ** 30);
    const at = 5 * 2 ** 30;
    const target = new Tensor({ dtype: "int64", shape: [3], storageOffset: at / 8, storage });
    copyInto(target, Tensor.from(BigInt64Array.of(1n, -2n, 2n ** 62n), [3]));
    expect([...target.data]).to.deep.equal([1n, -2n, 2n ** 62n]);
    expect([...storage.bytes(at - 8, 8)]).to.deep.equal(new Array(8).fill(0));
  });

  it("refuses other shapes, expanded targets, meta tensors and undefined conversions", async () => {
    const three = float32([1, 2, 3], [3]);
    await expectError("RANKCAST_TENSOR_SHAPE", () => copyInto(three, float32([1, 2, 3], [3, 1])));
    await expectError("RANKCAST_TENSOR_OVERLAP", () =>
      copyInto(new Tensor({ ...parts(float32([0], [1])), shape: [3], stride: [0] }), three),
    );
    await expectError("RANKCAST_TENSOR_META", () =>
      copyInto(new Tensor({ dtype: "float32", shape: [3], storage: new Storage(null, 0, 12) }), three),
    );
    await expectError("RANKCAST_TENSOR_DTYPE", () => copyInto(new Tensor({ dtype: "quint8", shape: [3], storage: noise(3, 1) }), three));
    copyInto(
      new Tensor({ dtype: "quint8", shape: [3], storage: noise(3, 1) }),
      new Tensor({ dtype: "quint8", shape: [3], storage: noise(3, 2) }),
    );
  });
});

function parts({ dtype, shape, storage }: Tensor): { dtype: DType; shape: readonly number[]; storage: Storage } {
  return { dtype, shape, storage };
}

/** Strides without overlap for `shape`, in the order of the given ones. */
function spread(shape: readonly number[], like: readonly number[]): number[] {
  const stride = new Array<number>(shape.length).fill(0);
  let step = 1;
  for (const axis of shape.map((_, at) => at).sort((a, b) => (like[a] ?? 0) - (like[b] ?? 0))) {
    stride[axis] = step * ((like[axis] ?? 0) % 2 === 0 ? 2 : 1);
    step = (stride[axis] ?? 0) * Math.max(shape[axis] ?? 1, 1);
  }
  return stride;
}
