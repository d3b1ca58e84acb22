import { compileLimits } from "@rankcast/core";
import { TensorRef } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";
import { expectError } from "../../support/expect-error.ts";
import { readW, TWELVE } from "../../support/torch-file.ts";
import { global, int, type TensorPickle, tensor, text, tuple } from "../../support/write-pickle.ts";

const FLOAT_3 = "G\x40\x08\x00\x00\x00\x00\x00\x00";
const read = (parts: TensorPickle): Promise<unknown> => readW(tensor(parts));

describe("numbers of a tensor", () => {
  it("make a tensor when they fit its storage", async () => {
    const cases: readonly TensorPickle[] = [
      { size: tuple(int(3), int(4)), stride: tuple(int(4), int(1)) },
      { size: tuple(int(4), int(3)), stride: tuple(int(1), int(4)) },
      { size: tuple(int(2), int(2)), stride: tuple(int(4), int(1)), offset: int(6) },
      { size: tuple(int(5), int(5)), stride: tuple(int(0), int(0)), offset: int(11) },
      { size: ")", stride: ")", offset: int(11) },
      { size: tuple(int(0)), stride: tuple(int(1)), offset: int(12) },
      { size: tuple(int(0), int(2 ** 40)), stride: tuple(int(2 ** 40), int(1)) },
      { size: tuple(int(4), int(3)), stride: tuple(int(2), int(1)) },
    ];
    for (const parts of cases) expect(await read(parts)).to.be.instanceOf(TensorRef);
  });

  it("are refused when they are no counts", async () => {
    for (const wrong of [int(-1), int(-(2 ** 31)), int(2 ** 53), int(2n ** 63n), FLOAT_3, "\x88", "N", text("3"), ")"]) {
      await expectError("RANKCAST_TENSOR_LAYOUT", read({ offset: wrong }));
      await expectError("RANKCAST_TENSOR_LAYOUT", read({ size: tuple(wrong, int(4)) }));
      await expectError("RANKCAST_TENSOR_LAYOUT", read({ stride: tuple(wrong, int(1)) }));
    }
    for (const wrong of [text("3"), "N", int(3), "}"]) {
      await expectError("RANKCAST_PICKLE_CALL", read({ size: wrong }));
      await expectError("RANKCAST_PICKLE_CALL", read({ stride: wrong }));
    }
  });

  it("are refused when they lead outside the storage", async () => {
    const cases: readonly TensorPickle[] = [
      { size: tuple(int(4), int(4)) },
      { size: tuple(int(3), int(4)), offset: int(1) },
      { size: tuple(int(1)), stride: tuple(int(1)), offset: int(12) },
      { size: ")", stride: ")", offset: int(12) },
      { size: tuple(int(3), int(4)), stride: tuple(int(5), int(1)) },
      { size: tuple(int(2)), stride: tuple(int(2 ** 52)) },
    ];
    for (const parts of cases) await expectError("RANKCAST_TENSOR_LAYOUT", read(parts));
    const error = await expectError("RANKCAST_TENSOR_LAYOUT", read({ size: tuple(int(4), int(4)) }));
    expect(error.message).to.include("float32 (4, 4) with strides (4, 1) needs 16 elements, its storage has 12");
  });

  it("are refused when they overflow, beside a 0 too", async () => {
    const cases: readonly TensorPickle[] = [
      { size: tuple(int(2 ** 33), int(2 ** 33)), stride: tuple(int(0), int(0)) },
      { size: tuple(int(2 ** 52), int(4), int(0)), stride: tuple(int(0), int(0), int(0)) },
      { size: tuple(int(2 ** 40), int(2 ** 40)), stride: tuple(int(2 ** 40), int(1)) },
      { size: tuple(int(3)), stride: tuple(int(2 ** 53 - 1)) },
      { size: tuple(int(1)), stride: tuple(int(1)), offset: int(2 ** 53 - 1) },
      { size: tuple(int(2 ** 51)), stride: tuple(int(0)) },
    ];
    for (const parts of cases) await expectError("RANKCAST_TENSOR_LAYOUT", read(parts));
  });

  it("are refused when there are other numbers of sizes and strides, or too many", async () => {
    await expectError("RANKCAST_TENSOR_LAYOUT", read({ stride: tuple(int(4)) }));
    await expectError("RANKCAST_TENSOR_LAYOUT", read({ stride: tuple(int(4), int(1), int(1)) }));
    const rank = compileLimits().tensorRank;
    const ones = (count: number): Uint8Array => tuple(...Array.from({ length: count }, () => int(1)));
    expect(await read({ size: ones(rank), stride: ones(rank) })).to.be.instanceOf(TensorRef);
    await expectError("RANKCAST_LIMIT", read({ size: ones(rank + 1), stride: ones(rank + 1) }));
  });

  it("agree with exact arithmetic about what is inside", async () => {
    const dimension = fc.oneof(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }));
    const axes = fc.array(fc.tuple(dimension, dimension), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(axes, dimension, async (pairs, offset) => {
        const product = pairs.reduce((all, [size]) => all * BigInt(Math.max(size, 1)), 4n);
        const empty = pairs.some(([size]) => size === 0);
        const end = pairs.reduce((all, [size, stride]) => all + (BigInt(size) - 1n) * BigInt(stride), BigInt(offset) + 1n);
        const inside = product <= BigInt(Number.MAX_SAFE_INTEGER) && (empty || end <= 12n);
        const size = tuple(...pairs.map(([each]) => int(each)));
        const stride = tuple(...pairs.map(([, each]) => int(each)));
        const outcome = await read({ size, stride, offset: int(offset) }).then(
          () => true,
          () => false,
        );
        expect(outcome).to.equal(inside);
      }),
      { numRuns: 500 },
    );
  });
});

describe("storages of a zip", () => {
  it("are refused when their size is not that of their record", async () => {
    for (const numel of [
      int(0),
      int(11),
      int(13),
      int(1000),
      int(-1),
      int(2n ** 62n + 3n),
      int(0x4000000000000001n),
      FLOAT_3,
      "N",
      "\x88",
    ]) {
      const size = tuple(int(1));
      await expectError("RANKCAST_STORAGE_SIZE", read({ numel, size, stride: size }));
    }
  });

  it("are refused when their key is no storage key or has no record", async () => {
    for (const key of [text("../data.pkl"), text(""), text("0/../0"), text("0 "), text("x"), int(0), text("1".repeat(21)), "N"]) {
      await expectError("RANKCAST_STORAGE_KEY", read({ key }));
    }
    await expectError("RANKCAST_STORAGE_KEY", readW(tensor({ key: text("x") }), { storages: { x: TWELVE } }));
    const missing = await expectError("RANKCAST_STORAGE_KEY", read({ key: text("7") }));
    expect(missing.message).to.include("storage 7 has no record data/7");
  });

  it("are refused when their class is none of torch's", async () => {
    for (const type of [
      global("torch", "WeirdStorage"),
      global("acme", "FloatStorage"),
      global("os", "system"),
      text("FloatStorage"),
      global("torchy", "FloatStorage"),
    ]) {
      await expectError("RANKCAST_STORAGE_CLASS", read({ type }));
    }
  });

  it("may have classes of any device's module", async () => {
    for (const module of ["torch", "torch.cuda", "torch.xpu", "torch.storage", "torch.sparse"]) {
      expect(await read({ type: global(module, "FloatStorage"), location: text("cuda:1") })).to.have.nested.property(
        "storage.savedDevice",
        "cuda:1",
      );
    }
  });

  it("are refused with two element types", async () => {
    const other = tensor({ type: global("torch", "IntStorage") });
    await expectError("RANKCAST_STORAGE_CONFLICT", readW(tuple(tensor(), other)));
  });

  it("without a record are fine on the meta device", async () => {
    const value = (await readW(tensor({ key: text("5"), location: text("meta") }))) as TensorRef;
    expect([value.storage.meta, value.storage.nbytes]).to.deep.equal([true, 48]);
  });

  it("are one object per key", async () => {
    const pair = (await readW(tuple(tensor(), tensor()))) as unknown as { elements: TensorRef[] };
    expect(pair.elements[0]?.storage).to.equal(pair.elements[1]?.storage);
  });

  it("are refused when they are named by anything but a tuple of five", async () => {
    const names = [
      int(1),
      text("storage"),
      tuple(text("storage"), global("torch", "FloatStorage"), text("0")),
      tuple(text("thing")),
      Buffer.from(")"),
    ];
    for (const name of names) await expectError("RANKCAST_PICKLE_PERSISTENT_ID", readW(Buffer.concat([name, Buffer.from("Q")])));
    await expectError("RANKCAST_PICKLE_PERSISTENT_ID", read({ view: "N" }));
  });
});
