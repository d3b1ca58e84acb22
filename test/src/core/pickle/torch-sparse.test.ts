import { SparseRef, TensorRef } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { readW } from "../../support/torch-file.ts";
import { call, global, int, storage, tensor, text, tuple } from "../../support/write-pickle.ts";

const BYTES = new Uint8Array(8 * 24);
const STORAGES = { 0: BYTES, 1: BYTES };
const HOOKS = call("collections", "OrderedDict");

/** A tensor of this shape on a storage of 24 int64, or 48 float32. */
function part(type: "Long" | "Float", ...shape: number[]): Uint8Array {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
  return tensor({
    key: text(type === "Long" ? "0" : "1"),
    type: global("torch", `${type}Storage`),
    numel: int(type === "Long" ? 24 : 48),
    size: tuple(...shape.map(int)),
    stride: tuple(...strides.map(int)),
  });
}

const layout = (name: string): Uint8Array => call("torch.serialization", "_get_layout", text(`torch.${name}`));
const size = (...shape: number[]): Uint8Array => call("torch", "Size", tuple(...shape.map(int)));
const sparse = (name: string, ...parts: Uint8Array[]): Promise<unknown> =>
  readW(call("torch._utils", "_rebuild_sparse_tensor", layout(name), tuple(...parts)), { storages: STORAGES });

describe("sparse tensors", () => {
  it("of coordinates have indices and values", async () => {
    const value = (await sparse("sparse_coo", part("Long", 2, 3), part("Float", 3), size(4, 5))) as SparseRef;
    expect([value.layout, [...value.shape], [...value.parts.keys()], value.coalesced]).to.deep.equal([
      "coo",
      [4, 5],
      ["indices", "values"],
      false,
    ]);
    const coalesced = (await sparse("sparse_coo", part("Long", 2, 3), part("Float", 3), size(4, 5), Buffer.from([0x88]))) as SparseRef;
    expect(coalesced.coalesced).to.equal(true);
    expect(await sparse("sparse_coo", part("Long", 1, 3), part("Float", 3, 2), size(4, 2))).to.be.instanceOf(SparseRef);
  });

  it("of rows and columns have pointers, indices and values", async () => {
    const names = async (name: string, ...parts: Uint8Array[]): Promise<string[]> => [
      ...((await sparse(name, ...parts)) as SparseRef).parts.keys(),
    ];
    const rows = ["crow_indices", "col_indices", "values"];
    const columns = ["ccol_indices", "row_indices", "values"];
    expect(await names("sparse_csr", part("Long", 5), part("Long", 6), part("Float", 6), size(4, 7))).to.deep.equal(rows);
    expect(await names("sparse_csc", part("Long", 8), part("Long", 6), part("Float", 6), size(4, 7))).to.deep.equal(columns);
    expect(await names("sparse_bsr", part("Long", 3), part("Long", 4), part("Float", 4, 2, 3), size(4, 9))).to.deep.equal(rows);
    expect(await names("sparse_bsc", part("Long", 4), part("Long", 4), part("Float", 4, 2, 3), size(4, 9))).to.deep.equal(columns);
    expect(await names("sparse_csr", part("Long", 2, 5), part("Long", 2, 6), part("Float", 2, 6), size(2, 4, 7))).to.deep.equal(rows);
  });

  it("of torch 1.x are made by a function of their own", async () => {
    const parts = tuple(part("Long", 5), part("Long", 6), part("Float", 6), size(4, 7));
    expect(
      await readW(call("torch._utils", "_rebuild_sparse_csr_tensor", layout("sparse_csr"), parts), { storages: STORAGES }),
    ).to.be.instanceOf(SparseRef);
    await expectError(
      "RANKCAST_TENSOR_TYPE",
      readW(call("torch._utils", "_rebuild_sparse_csr_tensor", layout("sparse_coo"), parts), { storages: STORAGES }),
    );
  });

  it("are refused when their parts do not fit together", async () => {
    const wrong: readonly (readonly [string, ...Uint8Array[]])[] = [
      ["sparse_coo", part("Long", 2, 3), part("Float", 4), size(4, 5)],
      ["sparse_coo", part("Long", 2, 3), part("Float", 3), size(4, 5, 6)],
      ["sparse_coo", part("Long", 2, 3), part("Float", 3, 2), size(4, 5, 7)],
      ["sparse_coo", part("Long", 6), part("Float", 6), size(4)],
      ["sparse_coo", part("Long", 2, 3), part("Float"), size(4, 5)],
      ["sparse_coo", part("Float", 2, 3), part("Float", 3), size(4, 5)],
      ["sparse_csr", part("Long", 4), part("Long", 6), part("Float", 6), size(4, 7)],
      ["sparse_csr", part("Long", 5), part("Long", 6), part("Float", 5), size(4, 7)],
      ["sparse_csr", part("Long"), part("Long"), part("Float"), size(4, 7)],
      ["sparse_csr", part("Long", 5), part("Long", 6), part("Float", 6), size(4)],
      ["sparse_csc", part("Long", 5), part("Long", 6), part("Float", 6), size(4, 7)],
      ["sparse_bsr", part("Long", 3), part("Long", 4), part("Float", 4), size(4, 9)],
      ["sparse_bsr", part("Long", 5), part("Long", 4), part("Float", 4, 2, 3), size(4, 9)],
      ["sparse_csr", part("Long", 2, 5), part("Long", 2, 6), part("Float", 2, 6), size(3, 4, 7)],
    ];
    for (const [name, ...parts] of wrong) await expectError("RANKCAST_TENSOR_LAYOUT", sparse(name, ...parts));
  });

  it("are refused with an unknown layout or parts that are no tensors", async () => {
    await expectError("RANKCAST_TENSOR_TYPE", sparse("sparse_weird", part("Long", 2, 3), part("Float", 3), size(4, 5)));
    await expectError("RANKCAST_TENSOR_TYPE", sparse("strided", part("Long", 2, 3)));
    await expectError("RANKCAST_PICKLE_CALL", sparse("sparse_coo", text("x"), part("Float", 3), size(4, 5)));
    await expectError("RANKCAST_PICKLE_CALL", sparse("sparse_coo"));
    await expectError("RANKCAST_PICKLE_CALL", readW(call("torch._utils", "_rebuild_sparse_tensor", layout("sparse_coo"), text("x"))));
  });
});

describe("quantised tensors", () => {
  const quantised = (quantiser: Uint8Array, type = "QInt8Storage"): Promise<unknown> =>
    readW(
      call(
        "torch._utils",
        "_rebuild_qtensor",
        storage({ type: global("torch", type), numel: int(6) }),
        int(0),
        tuple(int(2), int(3)),
        tuple(int(3), int(1)),
        quantiser,
        "\x89",
        HOOKS,
      ),
      { storages: { 0: new Uint8Array(6), 1: BYTES, 2: BYTES } },
    );
  const scales = (count: number): Uint8Array =>
    tensor({ key: text("1"), type: global("torch", "DoubleStorage"), numel: int(24), size: tuple(int(count)), stride: tuple(int(1)) });
  const points = (count: number): Uint8Array =>
    tensor({ key: text("2"), type: global("torch", "LongStorage"), numel: int(24), size: tuple(int(count)), stride: tuple(int(1)) });
  const perTensor = global("torch", "per_tensor_affine");
  const perChannel = global("torch", "per_channel_affine");
  const TENTH = "G\x3f\xb9\x99\x99\x99\x99\x99\x9a";
  const ONE = "G\x3f\xf0\x00\x00\x00\x00\x00\x00";

  it("have a scale and a zero point", async () => {
    const value = (await quantised(tuple(perTensor, TENTH, int(-3)))) as TensorRef;
    expect([value.dtype, value.quantisation]).to.deep.equal(["qint8", { scheme: "per_tensor_affine", scale: 0.1, zeroPoint: -3 }]);
    expect(((await quantised(tuple(perTensor, ONE, int(0)))) as TensorRef).quantisation).to.have.property("scale", 1);
  });

  it("may have them for each slice of an axis", async () => {
    const value = (await quantised(tuple(perChannel, scales(3), points(3), int(1)))) as TensorRef;
    expect(value.quantisation).to.have.property("axis", 1);
    expect(value.quantisation?.scale).to.be.instanceOf(TensorRef);
  });

  it("are refused when axis or counts do not fit, or the way to quantise is unknown", async () => {
    for (const axis of [int(2), int(5), int(-1), "N"]) {
      await expectError("RANKCAST_TENSOR_LAYOUT", quantised(tuple(perChannel, scales(3), points(3), axis)));
    }
    await expectError("RANKCAST_TENSOR_LAYOUT", quantised(tuple(perChannel, scales(2), points(3), int(1))));
    await expectError("RANKCAST_TENSOR_LAYOUT", quantised(tuple(perChannel, scales(3), points(2), int(1))));
    await expectError("RANKCAST_PICKLE_CALL", quantised(tuple(perChannel, ONE, points(3), int(1))));
    await expectError("RANKCAST_PICKLE_CALL", quantised(tuple(perTensor, text("1"), int(0))));
    await expectError("RANKCAST_PICKLE_CALL", quantised(tuple(perTensor, ONE, TENTH)));
    await expectError("RANKCAST_TENSOR_TYPE", quantised(tuple(global("torch", "per_weird_affine"), ONE, int(0))));
    await expectError("RANKCAST_TENSOR_TYPE", quantised(tuple()));
    await expectError("RANKCAST_TENSOR_TYPE", quantised(tuple(perTensor, ONE, int(0)), "CharStorage"));
  });
});
