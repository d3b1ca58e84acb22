/**
 * Damage: every single byte of small files is changed, and every file is cut at every length. The result must be equal, different in a way
 * the format cannot notice, or a typed error; never anything else thrown, and never other numbers where a checksum covers them.
 */
import { CheckpointError, compileLimits } from "@rankcast/core";
import { readPickle } from "@rankcast/core/internal";
import { expect } from "chai";
import { torchTarFile } from "../../support/build-tar.ts";
import { list, dict as treeDict } from "../../support/build-tree.ts";
import { encodePickle } from "../../support/encode-pickle.ts";
import { fixtureBytes } from "../../support/fixtures.ts";
import { legacyFile, pickleOf, readFile, torchZipFile } from "../../support/torch-file.ts";
import { bytesOf, call, dict, int, pickle, tensor, text, tuple, u32 } from "../../support/write-pickle.ts";

const WHERE = { file: "model.pt", baseOffset: 0 };
const CHANGES: readonly ((byte: number) => number)[] = [(byte) => byte ^ 1, (byte) => byte ^ 0x80, (byte) => ~byte & 0xff, () => 0x2e];

const twoTensors = dict([
  [text("a"), tensor()],
  [text("b"), tensor({ size: tuple(int(2)), stride: tuple(int(3)), offset: int(1) })],
]);
const content = bytesOf("C\x04abcd");
const array = bytesOf(
  "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R",
  tuple(int(1), tuple(int(4)), call("numpy", "dtype", text("u1"), "\x89", "\x88"), "\x89", content),
  "b",
);
const nested = legacyFile();

const FILES: readonly (readonly [name: string, bytes: Uint8Array, checked: boolean])[] = [
  ["a zip", torchZipFile({ pickle: pickle(twoTensors) }), true],
  ["a stream", legacyFile({ object: pickleOf(tensor({ view: tuple(text("1"), int(0), int(12)) })) }), false],
  ["a tar", torchTarFile().subarray(0, 5 * 1024), false],
  ["a pickle of arrays", pickle(dict([[text("x"), array]])), false],
  ["a pickle of a stream", pickleOf(call("torch.storage", "_load_from_bytes", bytesOf("B", u32(nested.length), nested))), false],
  ["a stream of torch 1.13", fixtureBytes("accepted/torch-legacy/empty_t113.pt"), false],
  ["a zip of Python 2 strings", fixtureBytes("accepted/torch-zip/text_opcodes.pt"), true],
];

/** Names, types, shapes and digests of what a file holds; `refused` for a typed error. */
async function outcome(bytes: Uint8Array): Promise<string> {
  try {
    return JSON.stringify((await readFile(bytes)).tensors);
  } catch (error) {
    if (error instanceof CheckpointError) return "refused";
    throw error;
  }
}

describe("damaged torch files", () => {
  for (const [name, bytes, checked] of FILES) {
    it(`${name} with one byte changed`, async () => {
      const whole = await outcome(bytes);
      expect(whole).to.not.equal("refused");
      let refused = 0;
      for (let at = 0; at < bytes.length; at += 1) {
        const byte = bytes[at] ?? 0;
        // Inside the padding of a tar one byte stands for all.
        if (byte === 0 && bytes[at - 1] === 0 && bytes[at - 2] === 0 && bytes[at - 3] === 0) continue;
        for (const change of CHANGES) {
          if (change(byte) === byte) continue;
          const damaged = Uint8Array.from(bytes);
          damaged[at] = change(byte);
          const result = await outcome(damaged);
          if (result === "refused") refused += 1;
          else if (checked) expect(result, `byte ${at}`).to.equal(whole);
        }
      }
      expect(refused).to.be.greaterThan(100);
    }).timeout(120_000);

    it(`${name} cut at every length`, async () => {
      const whole = await outcome(bytes);
      for (let length = 0; length < bytes.length; length += 1) {
        const result = await outcome(bytes.subarray(0, length));
        if (result !== "refused") expect(result, `cut at ${length}`).to.equal(whole);
      }
    }).timeout(60_000);
  }
});

describe("damaged pickles", () => {
  const value = treeDict([
    ["name", list(1, 2.5, -7, 2n ** 70n, "text", null, true)],
    [3, new Uint8Array([1, 2, 3])],
  ]);

  for (const protocol of [0, 2, 4, 5]) {
    it(`of protocol ${protocol} are read or refused, whatever byte is put where`, () => {
      const bytes = encodePickle(value, protocol);
      for (let at = 0; at < bytes.length; at += 1) {
        for (let byte = 0; byte < 256; byte += 1) {
          const damaged = Uint8Array.from(bytes);
          damaged[at] = byte;
          readOrRefuse(damaged);
        }
        readOrRefuse(bytes.subarray(0, at));
      }
    }).timeout(60_000);
  }

  it("are read or refused when bytes are random opcodes", () => {
    let seed = 7;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const opcodes = "()]}.012NKJMGXUTVCBqrhjptgladeubcioRQPS\x80\x81\x85\x86\x87\x88\x89\x8a\x8c\x8f\x90\x91\x92\x93\x94\x95";
    for (let run = 0; run < 10_000; run += 1) {
      const parts = Array.from({ length: 3 + random(40) }, () =>
        random(4) === 0 ? random(256) : opcodes.charCodeAt(random(opcodes.length)),
      );
      readOrRefuse(bytesOf("]}N(", Uint8Array.from(parts), "."));
    }
  }).timeout(60_000);
});

function readOrRefuse(bytes: Uint8Array): void {
  try {
    readPickle(bytes, { limits: compileLimits(), where: WHERE });
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    expect(error.details).to.have.property("offset");
  }
}
