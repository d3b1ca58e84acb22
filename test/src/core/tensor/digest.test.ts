import { createHash } from "node:crypto";
import { digestStateDict, digestTensor, Storage, Tensor } from "@rankcast/core";
import { elementBytes } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";
import { expectError } from "../../support/expect-error.ts";
import { arbitraryLayout, naiveBytes, noiseTensor } from "../../support/strided.ts";

const sha256 = (bytes: Uint8Array | string) => createHash("sha256").update(bytes).digest("hex");

describe("tensor/digest", () => {
  it("is the SHA-256 of the logical elements, whatever the layout", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("uint8", "bfloat16", "float32", "complex128"),
        arbitraryLayout({ expanded: true }),
        fc.nat(99),
        (dtype, layout, seed) => {
          const tensor = noiseTensor(dtype as "uint8", layout, seed);
          expect(digestTensor(tensor)).to.equal(sha256(naiveBytes(tensor)));
        },
      ),
      { numRuns: 200 },
    );
  });

  it("needs one block of scratch for a large transposed tensor, and none for a row-major one", () => {
    const tensor = noiseTensor("float32", { shape: [1001, 700], stride: [1, 1001], offset: 3 }, 5);
    const sizes: number[] = [];
    const buffers = new Set<ArrayBufferLike>();
    for (const piece of elementBytes(tensor)) {
      sizes.push(piece.length);
      buffers.add(piece.buffer);
    }
    expect(buffers.size).to.equal(1);
    expect(Math.max(...sizes)).to.be.at.most(2 ** 20);
    expect(sizes.reduce((a, b) => a + b)).to.equal(tensor.nbytes);
    expect(digestTensor(tensor)).to.equal(sha256(naiveBytes(tensor)));
    const [window] = elementBytes(Tensor.from(new Float32Array(10), [10]));
    expect(window?.length).to.equal(40);
  });

  it("resolves lazy flags and reads shared memory", () => {
    const shared = Storage.allocate(8, { shared: true });
    new Float32Array(shared.buffer as SharedArrayBuffer).set([1, 2]);
    const conj = new Tensor({ dtype: "complex64", shape: [1], storage: shared, conj: true });
    expect(digestTensor(conj)).to.equal(sha256(new Uint8Array(Float32Array.of(1, -2).buffer)));
    expect(digestTensor(new Tensor({ dtype: "complex64", shape: [1], storage: shared }))).to.equal(
      sha256(new Uint8Array(Float32Array.of(1, 2).buffer)),
    );
  });

  it("of no elements is the digest of nothing", () => {
    expect(digestTensor(new Tensor({ dtype: "float32", shape: [0, 3], storage: Storage.allocate(0) }))).to.equal(sha256(""));
  });

  it("refuses bombs and meta tensors", async () => {
    const bomb = new Tensor({ dtype: "float32", shape: [2 ** 20, 2 ** 20], stride: [0, 0], storage: Storage.allocate(48) });
    await expectError("RANKCAST_LIMIT", () => digestTensor(bomb));
    await expectError("RANKCAST_TENSOR_META", () =>
      digestTensor(new Tensor({ dtype: "float32", shape: [2], storage: new Storage(null, 0, 8) })),
    );
  });

  it("of a state is what its definition says, and does not depend on order or layout", () => {
    const a = Tensor.from(Float32Array.of(1, 2, 3, 4), [2, 2]);
    const transposed = new Tensor({
      dtype: "float32",
      shape: [2, 2],
      stride: [1, 2],
      storage: new Storage(Float32Array.of(1, 3, 2, 4).buffer, 0, 16),
    });
    const b = Tensor.from(BigInt64Array.of(7n), []);
    const meta = new Tensor({ dtype: "float16", shape: [3], storage: new Storage(null, 0, 6) });
    const lines = [
      `["a","float32",[2,2],"${sha256(new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer))}"]\n`,
      `["b\\ud800","int64",[],"${sha256(new Uint8Array(BigInt64Array.of(7n).buffer))}"]\n`,
      `["c","float16",[3],null]\n`,
    ];
    const digest = digestStateDict([
      ["a", a],
      ["b\ud800", b],
      ["c", meta],
    ]);
    expect(digest).to.equal(sha256(lines.join("")));
    expect(
      digestStateDict(
        new Map([
          ["c", meta],
          ["b\ud800", b],
          ["a", transposed],
        ]),
      ),
    ).to.equal(digest);
  });

  it("of a state changes with a name, a dtype, a shape and a value", () => {
    const one = Tensor.from(Int32Array.of(1, 2), [2]);
    const variants = [
      digestStateDict([["a", one]]),
      digestStateDict([["b", one]]),
      digestStateDict([["a", Tensor.from(Uint32Array.of(1, 2), [2])]]),
      digestStateDict([["a", Tensor.from(Int32Array.of(1, 2), [1, 2])]]),
      digestStateDict([["a", Tensor.from(Int32Array.of(1, 3), [2])]]),
      digestStateDict([]),
    ];
    expect(new Set(variants).size).to.equal(variants.length);
  });
});
