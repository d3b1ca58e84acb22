/** Against what torch 2.13 answered: test/fixtures/numeric/sparse.json, made by record_sparse.py beside it. */
import { readFileSync } from "node:fs";
import { type DType, densify, digestTensor, type SparseParts, Storage, Tensor } from "@rankcast/core";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";

interface Row {
  readonly note: string;
  readonly layout: SparseParts["layout"];
  readonly shape: number[];
  readonly dtype: DType;
  readonly sha256: string;
  readonly parts: Record<string, { readonly dtype: DType; readonly shape: number[]; readonly bytes: string }>;
}
const ROWS: Row[] = JSON.parse(readFileSync(new URL("../../../fixtures/numeric/sparse.json", import.meta.url), "utf8"));

function sparse(row: Row): SparseParts {
  const parts = Object.entries(row.parts).map(([name, { dtype, shape, bytes }]) => {
    const buffer = new Uint8Array(Buffer.from(bytes, "base64")).buffer;
    return [name, new Tensor({ dtype, shape, storage: new Storage(buffer, 0, buffer.byteLength) })] as const;
  });
  return { layout: row.layout, shape: row.shape, parts: new Map(parts) };
}

const ints = (...values: number[]) => Tensor.from(Int32Array.from(values), [values.length]);
const floats = (...values: number[]) => Tensor.from(Float32Array.from(values), [values.length]);

describe("tensor/densify", () => {
  for (const row of ROWS) {
    it(`writes out ${row.note}`, () => {
      const dense = densify(sparse(row));
      expect(dense.shape).to.deep.equal(row.shape);
      expect(dense.dtype).to.equal(row.dtype);
      expect(digestTensor(dense)).to.equal(row.sha256);
    });
  }

  it("reads parts through strides", () => {
    // [[0, 1], [1, 0]] stored column by column.
    const indices = new Tensor({ dtype: "int32", shape: [2, 2], stride: [1, 2], storage: ints(0, 1, 1, 0).storage });
    const values = new Tensor({ dtype: "float32", shape: [2], storage: floats(5, 6).storage, neg: true });
    expect([
      ...densify({
        layout: "coo",
        shape: [2, 2],
        parts: new Map([
          ["indices", indices],
          ["values", values],
        ]),
      }).data,
    ]).to.deep.equal([0, -5, -6, 0]);
  });

  const csr = (crow: number[], col: number[], values = col.map((_, at) => at + 1), shape = [2, 3]): SparseParts => ({
    layout: "csr",
    shape,
    parts: new Map([
      ["crow_indices", ints(...crow)],
      ["col_indices", ints(...col)],
      ["values", floats(...values)],
    ]),
  });
  const coo = (indices: Tensor, values: Tensor, shape: number[]): SparseParts => ({
    layout: "coo",
    shape,
    parts: new Map([
      ["indices", indices],
      ["values", values],
    ]),
  });

  const broken: [string, SparseParts, string][] = [
    ["an index above its axis", coo(Tensor.from(Int32Array.of(0, 3), [1, 2]), floats(1, 2), [3]), "indices[0, 1] = 3 is outside"],
    ["a negative index", coo(Tensor.from(Int32Array.of(0, -1), [1, 2]), floats(1, 2), [3]), "indices[0, 1] = -1 is outside"],
    ["float indices", coo(Tensor.from(Float32Array.of(0, 1), [1, 2]), floats(1, 2), [3]), "indices are float32"],
    ["more indices than values", coo(Tensor.from(Int32Array.of(0, 1), [1, 2]), floats(1), [3]), "do not belong"],
    ["more sparse axes than axes", coo(Tensor.from(Int32Array.of(0, 1), [2, 1]), floats(1), [3]), "do not belong"],
    ["a missing part", { layout: "csr", shape: [1, 1], parts: new Map([["values", floats(1)]]) }, "crow_indices is missing"],
    ["compressed indices that do not start at 0", csr([1, 1, 2], [0, 1]), "must run from 0 to 2"],
    ["compressed indices that do not end at the count", csr([0, 1, 3], [0, 1]), "must run from 0 to 2"],
    ["falling compressed indices", csr([0, 2, 1, 2], [0, 1], [1, 2], [3, 3]), "go from 2 to 1 of 2"],
    ["compressed indices above the count", csr([0, 3, 2], [0, 1]), "go from 0 to 3 of 2"],
    ["a plain index above its axis", csr([0, 1, 2], [0, 3]), "plain index 3"],
    ["a negative plain index", csr([0, 1, 2], [0, -1]), "plain index -1"],
    ["plain indices out of order in a line", csr([0, 2, 2], [1, 0]), "plain index 0 at 1 is outside or not above 1"],
    ["a place named twice in a line", csr([0, 2, 2], [1, 1]), "not above 1"],
    ["too few lines", csr([0, 2], [0, 1]), "do not belong"],
    [
      "blocks that do not divide the shape",
      {
        ...csr([0, 1], [0], [1]),
        layout: "bsr",
        shape: [3, 2],
        parts: new Map([
          ["crow_indices", ints(0, 1)],
          ["col_indices", ints(0)],
          ["values", Tensor.from(new Float32Array(4), [1, 2, 2])],
        ]),
      },
      "do not belong",
    ],
    [
      "blocks of no height",
      {
        layout: "bsr",
        shape: [2, 2],
        parts: new Map([
          ["crow_indices", ints(0, 1)],
          ["col_indices", ints(0)],
          ["values", Tensor.from(new Float32Array(0), [1, 0, 2])],
        ]),
      },
      "do not belong",
    ],
  ];
  for (const [what, parts, text] of broken) {
    it(`refuses ${what}`, async () => {
      const error = await expectError("RANKCAST_SPARSE_PARTS", () => densify(parts));
      expect(error.class).to.equal("tensor");
      expect(error.message).to.contain(text);
    });
  }

  it("refuses results above densifiedBytes", async () => {
    const huge = coo(Tensor.from(new Int32Array(2), [2, 1]), floats(1), [2 ** 20, 2 ** 20]);
    expect((await expectError("RANKCAST_LIMIT", () => densify(huge))).details).to.include({ limit: "densifiedBytes", found: 2 ** 42 });
    await expectError("RANKCAST_LIMIT", () => densify(csr([0, 1, 2], [0, 1]), { densifiedBytes: 23 }));
    expect(densify(csr([0, 1, 2], [0, 1]), { densifiedBytes: 24 }).nbytes).to.equal(24);
  });
});
