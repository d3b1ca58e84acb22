import { compileLimits } from "@rankcast/core";
import {
  type ByteSource,
  countingSource,
  HeapBudget,
  memorySource,
  newReadStats,
  noSiblings,
  OpaqueValue,
  plainPickle,
  TreeDict,
} from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { readTree } from "../../support/read-tensors.ts";
import { legacyFile, readFile, TORCH_FORMATS, TWELVE } from "../../support/torch-file.ts";
import { bytesOf, call, dict, int, pickle, storage, text, tuple, u32 } from "../../support/write-pickle.ts";

const HOOKS = call("collections", "OrderedDict");
const array = (dtype: string, count: number, content: Uint8Array): Uint8Array =>
  bytesOf(
    "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01",
    int(count),
    "\x85",
    call("numpy", "dtype", text(dtype), "\x89", "\x88"),
    "\x89",
    content,
    "tb",
  );

describe("plain pickles", () => {
  it("of a state dict of arrays are read where they lie", async () => {
    const large = new Uint8Array(400_000).fill(7);
    const stats = newReadStats();
    const bytes = pickle(
      dict([
        [text("small"), array("f4", 12, bytesOf("C\x30", TWELVE))],
        [text("large"), array("u1", 400_000, bytesOf("B", u32(400_000), large))],
      ]),
    );
    const tree = await readTree(countingSource(memorySource(bytes), stats), TORCH_FORMATS);
    expect([tree.format, stats.bytesRead < 200_000]).to.deep.equal(["pickle", true]);
    const { tensors } = await readFile(bytes);
    expect(tensors.map(({ name, dtype, shape }) => [name, dtype, shape])).to.deep.equal([
      ["small", "float32", [12]],
      ["large", "uint8", [400_000]],
    ]);
    const again = pickle(
      dict([
        [
          text("large"),
          array(
            "u1",
            400_000,
            bytesOf(
              "B",
              u32(400_000),
              Uint8Array.from(large, () => 8),
            ),
          ),
        ],
      ]),
    );
    expect((await readFile(again)).tensors[0]?.sha256).to.not.equal(tensors[1]?.sha256);
  });

  it("of Python 2 are read too, arrays in byte strings among them", async () => {
    const floats = bytesOf("\x80\x02}q\x01(U\x05blobsq\x02}(U\x01w", array("f4", 12, bytesOf("U\x30", TWELVE)), "uu.");
    const { tensors } = await readFile(floats);
    expect(tensors.map(({ name }) => name)).to.deep.equal(["blobs.w"]);
    const large = new Uint8Array(100_000).fill(0xe9);
    const { tensors: longer } = await readFile(pickle(dict([["U\x01\xe9", array("u1", 100_000, bytesOf("T", u32(100_000), large))]])));
    expect(longer.map(({ name, shape }) => [name, shape])).to.deep.equal([["é", [100_000]]]);
  });

  it("of tensors hold a stream per storage", async () => {
    const stream = legacyFile({ object: pickle(storage({ view: "N" })) });
    const tensor = (bytes: Uint8Array): Uint8Array =>
      call(
        "torch._utils",
        "_rebuild_tensor_v2",
        call("torch.storage", "_load_from_bytes", bytes),
        int(0),
        tuple(int(12)),
        tuple(int(1)),
        "\x89",
        HOOKS,
      );
    const escaped = bytesOf(
      "X",
      u32(Buffer.from(Buffer.from(stream).toString("latin1"), "utf8").length),
      Buffer.from(Buffer.from(stream).toString("latin1"), "utf8"),
    );
    const encoded = call("_codecs", "encode", escaped, text("latin1"));
    const large = Buffer.alloc(480_000, TWELVE);
    const longStream = legacyFile({ object: pickle(storage({ view: "N", numel: int(120_000) })), storages: [["0", 120_000, large]] });
    const bytes = pickle(
      dict([
        [text("inline"), tensor(bytesOf("B", u32(stream.length), stream))],
        [text("encoded"), tensor(encoded)],
        [text("skipped"), tensor(bytesOf("B", u32(longStream.length), longStream))],
      ]),
    );
    const stats = newReadStats();
    await readTree(countingSource(memorySource(bytes), stats), TORCH_FORMATS);
    expect(stats.bytesRead).to.be.lessThan(400_000);
    const { tensors } = await readFile(bytes);
    expect(tensors.map(({ name }) => name)).to.deep.equal(["inline", "encoded", "skipped"]);
    expect(new Set(tensors.map(({ sha256 }) => sha256)).size).to.equal(1);
  });

  it("are refused when they hold one plain value or refer outside", async () => {
    for (const value of ["K\x05", "N", text("x"), "C\x01a", "G\x3f\xf0\x00\x00\x00\x00\x00\x00"]) {
      await expectError("RANKCAST_UNKNOWN_FORMAT", readFile(pickle(value)));
    }
    await expectError("RANKCAST_PICKLE_PERSISTENT_ID", readFile(pickle("NQ")));
  });

  it("may be one object, or have bytes behind their end", async () => {
    const tree = await readTree(memorySource(pickle("cacme\nNet\n)\x81")), TORCH_FORMATS);
    expect(tree.root).to.be.instanceOf(OpaqueValue);
    const { tree: longer } = await readFile(bytesOf(pickle("}"), "tail"));
    expect(longer.warnings.map(({ code }) => code)).to.deep.equal(["pickle-trailing-bytes"]);
    expect(longer.root).to.be.instanceOf(TreeDict);
  });

  it("of protocols 0 and 1 are known by a beginning that runs", async () => {
    const matches = (bytes: Uint8Array, sizeBytes = bytes.length): unknown => {
      const source = { ...memorySource(bytes), sizeBytes } as ByteSource;
      const siblings = noSiblings("x");
      const limits = compileLimits();
      return plainPickle.matches({ head: bytes, source, siblings, limits, heap: new HeapBudget(limits), signal: undefined, nesting: 0 });
    };
    expect(matches(bytesOf("(dp0\nS'a'\np1\nI1\ns."))).to.equal(true);
    expect(matches(bytesOf("}q\x00U\x01aK\x01s."))).to.equal(true);
    expect(matches(bytesOf("ccollections\nOrderedDict\nq\x00)Rq\x01."))).to.equal(true);
    const long = bytesOf("(lp0\n", ...Array.from({ length: 600 }, (_, at) => `I${at}\np${at + 1}\na`));
    expect(matches(long.subarray(0, 4096), 1_000_000)).to.equal(true);
    for (const wrong of ["config: 1\nlearning\nrate\n", "(hello)", "}{", "](", "c", "loss 1.0\n", "\x80\x06", "\x80"]) {
      expect(matches(bytesOf(wrong)), wrong).to.equal(false);
    }
  });
});
