import { Storage, Tensor } from "@rankcast/core";
import { expect } from "chai";
import fc from "fast-check";
import { expectError } from "../../support/expect-error.ts";
import { arbitraryLayout, naiveBytes, noiseTensor } from "../../support/strided.ts";

describe("tensor/tensor", () => {
  it("shares the array it is made from", () => {
    const values = Float32Array.of(1, 2, 3, 4, 5, 6);
    const tensor = Tensor.from(values.subarray(2), [2, 2]);
    values[2] = 9;
    expect(tensor.get(0, 0)).to.equal(9);
    expect(tensor.dtype).to.equal("float32");
    expect(Tensor.from(Buffer.of(1, 2), [2]).dtype).to.equal("uint8");
    expect(Tensor.from(Uint16Array.of(0x3c00), [1], { dtype: "float16" }).item()).to.equal(1);
  });

  it("refuses shapes that do not fit the array", async () => {
    await expectError("RANKCAST_TENSOR_BOUNDS", () => Tensor.from(new Float32Array(5), [2, 3]));
    await expectError("RANKCAST_TENSOR_SHAPE", () => Tensor.from(new Float32Array(7), [2, 3]));
    await expectError("RANKCAST_TENSOR_DTYPE", () => Tensor.from(new DataView(new ArrayBuffer(4)) as never, [1]));
  });

  it("refuses sizes, strides and offsets that are no counts", async () => {
    const storage = Storage.allocate(64);
    for (const wrong of [
      { shape: [-1] },
      { shape: [1.5] },
      { shape: [Number.NaN] },
      { shape: [2], stride: [-1] },
      { shape: [2], stride: [1, 1] },
      { shape: [2], storageOffset: -1 },
      { shape: [2 ** 53] },
    ]) {
      await expectError("RANKCAST_TENSOR_SHAPE", () => new Tensor({ dtype: "float32", storage, ...wrong }));
    }
    await expectError("RANKCAST_TENSOR_BOUNDS", () => new Tensor({ dtype: "float32", storage, shape: [17] }));
    await expectError("RANKCAST_TENSOR_BOUNDS", () => new Tensor({ dtype: "float32", storage, shape: [2, 2], stride: [15, 1] }));
    await expectError("RANKCAST_TENSOR_BOUNDS", () => new Tensor({ dtype: "float32", storage, shape: [2], storageOffset: 15 }));
    expect(new Tensor({ dtype: "float32", storage, shape: [2 ** 40, 0, 3] }).elementCount).to.equal(0);
  });

  it("gives elements and items of every kind", () => {
    const item = (dtype: Parameters<typeof Tensor.from>[2], bytes: number[]) => Tensor.from(Uint8Array.from(bytes), [1], dtype).item();
    expect(item({ dtype: "bfloat16" }, [0xc0, 0x3f])).to.equal(1.5);
    expect(item({ dtype: "float16" }, [0x01, 0x80])).to.equal(-(2 ** -24));
    expect(item({ dtype: "float8_e4m3fn" }, [0x7e])).to.equal(448);
    expect(item({ dtype: "float8_e5m2" }, [0xfc])).to.equal(Number.NEGATIVE_INFINITY);
    expect(item({ dtype: "float8_e4m3fnuz" }, [0x80])).to.be.NaN;
    expect(item({ dtype: "float8_e5m2fnuz" }, [0x7f])).to.equal(57_344);
    expect(item({ dtype: "float8_e8m0fnu" }, [0])).to.equal(2 ** -127);
    expect(item({ dtype: "bool" }, [7])).to.equal(true);
    expect(item({ dtype: "int64" }, [0xfe, 255, 255, 255, 255, 255, 255, 255])).to.equal(-2n);
    expect(item({ dtype: "uint64" }, [0xfe, 255, 255, 255, 255, 255, 255, 255])).to.equal(2n ** 64n - 2n);
    expect(item({ dtype: "complex32" }, [0, 0x3c, 0, 0xc0])).to.deep.equal({ re: 1, im: -2 });
    expect(item({ dtype: "quint8" }, [200])).to.equal(200);
    expect(item({ dtype: "bits16" }, [1, 2])).to.equal(0x201);
    const nibbles = new Tensor({ dtype: "quint4x2", shape: [4], storage: new Storage(Uint8Array.of(0x21, 0x43).buffer, 0, 2) });
    expect([0, 1, 2, 3].map((at) => nibbles.get(at))).to.deep.equal([1, 2, 3, 4]);
  });

  it("applies lazy flags to elements", () => {
    const storage = new Storage(Int8Array.of(5, -128).buffer, 0, 2);
    const ints = new Tensor({ dtype: "int8", shape: [2], storage, neg: true });
    expect([ints.get(0), ints.get(1)]).to.deep.equal([-5, -128]);
    const pair = Tensor.from(Float64Array.of(1, 2), [1], { dtype: "complex128" });
    expect(new Tensor({ dtype: "complex128", shape: [1], storage: pair.storage, conj: true }).item()).to.deep.equal({ re: 1, im: -2 });
  });

  it("refuses elements that are no scalars, and places outside", async () => {
    await expectError("RANKCAST_TENSOR_DTYPE", () => Tensor.from(Uint8Array.of(1), [1], { dtype: "float4_e2m1fn_x2" }).item());
    await expectError("RANKCAST_TENSOR_ITEM", () => Tensor.from(Uint8Array.of(1, 2), [2]).item());
    const matrix = Tensor.from(new Float32Array(6), [2, 3]);
    for (const index of [[2, 0], [0, 3], [-1, 0], [0], [0, 0, 0]]) await expectError("RANKCAST_TENSOR_INDEX", () => matrix.get(...index));
  });

  it("shows data in place, and says why when it cannot", async () => {
    const storage = Storage.allocate(16);
    expect(new Tensor({ dtype: "int64", shape: [1], storageOffset: 1, storage }).data).to.be.instanceOf(BigInt64Array);
    expect(new Tensor({ dtype: "float32", shape: [2], stride: [3], storage }).data.length).to.equal(4);
    const odd = new Tensor({ dtype: "float32", shape: [2], storage: new Storage(storage.buffer, 1, 8) });
    await expectError("RANKCAST_TENSOR_ALIGNMENT", () => odd.data);
    expect([...odd.contiguous().data]).to.deep.equal([0, 0]);
    await expectError("RANKCAST_TENSOR_META", () => new Tensor({ dtype: "float32", shape: [2], storage: new Storage(null, 0, 8) }).data);
  });

  it("names the limit when one view cannot show a tensor", async function () {
    const huge = new Tensor({ dtype: "uint8", shape: [2 ** 32 + 1], storage: Storage.allocate(2 ** 32 + 1) });
    if (Number(process.versions.node.split(".")[0]) >= 22) this.skip();
    const error = await expectError("RANKCAST_STORAGE_TOO_LARGE", () => huge.data);
    expect(error.remedy).to.contain("window");
    await expectError("RANKCAST_STORAGE_TOO_LARGE", () => huge.storage.bytes());
    expect(huge.storage.bytes(2 ** 32, 1).length).to.equal(1);
  });

  it("keeps storages inside their buffers and windows inside storages", async () => {
    const buffer = new ArrayBuffer(8);
    await expectError("RANKCAST_TENSOR_BOUNDS", () => new Storage(buffer, 4, 5));
    await expectError("RANKCAST_TENSOR_BOUNDS", () => new Storage(buffer, 0, 8).bytes(4, 5));
    await expectError("RANKCAST_TENSOR_BOUNDS", () => new Storage(buffer, 0, 8).bytes(9));
    await expectError("RANKCAST_TENSOR_META", () => new Storage(null, 0, 8).bytes());
  });

  it("contiguous() returns itself when nothing is to be done", () => {
    const tensor = Tensor.from(new Float32Array(6), [2, 3]);
    expect(tensor.contiguous()).to.equal(tensor);
    const flagged = new Tensor({
      dtype: "float32",
      shape: [2, 3],
      storage: tensor.storage,
      neg: true,
      savedDevice: "cuda:1",
      requiresGrad: true,
    });
    const plain = flagged.contiguous();
    expect(plain).to.include({ neg: false, savedDevice: "cuda:1", requiresGrad: true });
    expect(plain.storage).to.not.equal(tensor.storage);
  });

  it("toFloat32Array gives every layout's values, in place for plain float32", () => {
    const plain = Tensor.from(Float32Array.of(1, 2), [2]);
    expect(plain.toFloat32Array().buffer).to.equal(plain.storage.buffer);
    fc.assert(
      fc.property(arbitraryLayout({ expanded: true }), fc.nat(99), (layout, seed) => {
        const tensor = noiseTensor("int16", layout, seed);
        const bytes = naiveBytes(tensor);
        const wanted = Float32Array.from(new Int16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)));
        expect([...tensor.toFloat32Array()]).to.deep.equal([...wanted]);
      }),
    );
  });

  it("prints dtype and shape", () => {
    expect(String(Tensor.from(new Float32Array(6), [2, 3]))).to.equal("float32 [2, 3]");
  });
});
