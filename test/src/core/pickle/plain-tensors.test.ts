/**
 * Tensors that are read in one go are those that the machine would have made, and what the machine refuses is refused with its words: every file here
 * is read in both ways. A lower limit of ranks keeps tensors from being read in one go and refuses none of these.
 */
import { CheckpointError, compileLimits } from "@rankcast/core";
import { HeapBudget, memorySource, noSiblings, readHead, TensorRef, TreeDict, type TreeValue, torchZip } from "@rankcast/core/internal";
import { expect } from "chai";
import { plain } from "../../support/plain-tree.ts";
import { randomBytes } from "../../support/random-bytes.ts";
import { TWELVE, torchZipFile } from "../../support/torch-file.ts";
import { bytesOf, global, int, type Part, pickle, text, u32 } from "../../support/write-pickle.ts";

/** Slots of what every tensor of torch's fetches from the memo. */
const [MAKE, WORD, TYPE, HOST, DICT] = [2, 3, 4, 6, 10];
const get = (slot: number): Uint8Array => bytesOf("h", slot);
const put = (slot: number): Uint8Array => bytesOf("r", u32(slot));

interface Written {
  readonly key?: Part;
  readonly type?: Part;
  readonly numel?: Part;
  readonly offset?: Part;
  readonly size?: Part;
  readonly stride?: Part;
  readonly grad?: Part;
  readonly hooks?: Part;
  readonly rest?: Part;
  /** First slot of those that nobody reads; null to memoize nothing. */
  readonly slot?: number | null;
  /** What memoizes; torch before protocol 4 names the slot. */
  readonly memoize?: Part;
}

/** A tensor as torch writes it from the second one on: 3 x 4 floats of storage 0, unless told otherwise. */
function again(written: Written = {}): Uint8Array {
  const { slot = 100, memoize } = written;
  let next = slot ?? 0;
  const memo = (): Part => {
    next += 1;
    return slot === null ? "" : (memoize ?? put(next - 1));
  };
  const id = bytesOf(
    "(",
    get(WORD),
    written.type ?? get(TYPE),
    written.key ?? text("0"),
    memo(),
    get(HOST),
    written.numel ?? int(12),
    "t",
    memo(),
  );
  const size = bytesOf(written.size ?? bytesOf(int(3), int(4), "\x86"), memo());
  const stride = bytesOf(written.stride ?? bytesOf(int(4), int(1), "\x86"), memo());
  const hooks = bytesOf(written.hooks ?? bytesOf(get(DICT), ")R"), memo());
  const view = bytesOf(written.offset ?? int(0), size, stride, written.grad ?? "\x89", hooks, written.rest ?? "");
  return bytesOf(get(MAKE), "(", id, "Q", view, "t", memo(), "R", memo());
}

/** A dict of tensors; the first is written out, what the others fetch is memoized. Behind them is more text than a tensor is long. */
function fileOf(values: readonly Part[], head: Part = HEAD): Uint8Array {
  return torchZipFile({ pickle: pickleOf(values, head), storages: { 0: TWELVE, 1: TWELVE } });
}

const KNOWN: ReadonlyMap<number, Part> = new Map([
  [MAKE, global("torch._utils", "_rebuild_tensor_v2")],
  [WORD, text("storage")],
  [TYPE, global("torch", "FloatStorage")],
  [HOST, text("cpu")],
  [DICT, global("collections", "OrderedDict")],
]);
const HEAD = bytesOf(...[...KNOWN].flatMap(([slot, part]) => [part, "q", slot, "0"]));
/** The same slots, by their order. */
const HEAD_IN_ORDER = bytesOf(...Array.from({ length: DICT + 1 }, (_, slot) => bytesOf(KNOWN.get(slot) ?? "N", "\x940")));

function pickleOf(values: readonly Part[], head: Part): Uint8Array {
  const pairs = values.flatMap((value, index) => [text(`t${index}`), value]);
  return pickle(head, "}(", ...pairs, text("end"), text(".".repeat(600)), "u");
}

interface Outcome {
  readonly value: unknown;
  readonly heapBytes: number;
}

async function readWith(bytes: Uint8Array, limits: Record<string, number>): Promise<Outcome> {
  const source = memorySource(bytes, "model.pt");
  const heap = new HeapBudget(compileLimits(limits), source.sizeBytes);
  const head = await readHead(source);
  try {
    const input = { source, head, siblings: noSiblings("model.pt"), limits: compileLimits(limits), heap, signal: undefined, nesting: 0 };
    const { root, warnings, checksums } = await torchZip.read(input);
    return { value: { root: plain(root), tensors: tensorsOf(root), warnings, checksums }, heapBytes: heap.peakBytes };
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    return { value: { code: error.code, message: error.message, details: error.details }, heapBytes: heap.peakBytes };
  }
}

/** What `plain` leaves out: flags, places, and which tensors share a storage. */
function tensorsOf(root: TreeValue): unknown {
  const tensors = root instanceof TreeDict ? [...root.entries.values()].filter((value) => value instanceof TensorRef) : [];
  const storages = [...new Set(tensors.map(({ storage }) => storage))];
  return tensors.map(({ requiresGrad, conj, neg, origin, storage }) => {
    const { nbytes, pieces, swapBytes, savedDevice, meta } = storage;
    return { requiresGrad, conj, neg, origin, storage: storages.indexOf(storage), nbytes, pieces, swapBytes, savedDevice, meta };
  });
}

/** Reads a file in both ways, and expects the same; whether less was made in one go. */
async function readBoth(bytes: Uint8Array, what: string): Promise<{ value: unknown; quick: boolean }> {
  const quick = await readWith(bytes, {});
  const slow = await readWith(bytes, { tensorRank: 7 });
  expect(quick.value, what).to.deep.equal(slow.value);
  return { value: quick.value, quick: quick.heapBytes < slow.heapBytes };
}

const long = (value: number): Uint8Array => bytesOf("\x8a\x06", u32(value), "\0\0");

describe("plain tensors", () => {
  const taken: readonly (readonly [what: string, value: Part])[] = [
    ["as torch writes them", again()],
    ["as torch 2 writes them, without a memo", again({ slot: null })],
    ["scalars", again({ size: ")", stride: ")", numel: int(12), offset: int(11) })],
    ["one axis", again({ size: bytesOf(int(5), "\x85"), stride: bytesOf(int(2), "\x85") })],
    ["three axes", again({ size: bytesOf(int(1), int(2), int(3), "\x87"), stride: bytesOf(int(6), int(3), int(1), "\x87") })],
    ["four axes", again({ size: bytesOf("(", ...[1, 2, 3, 2].map(int), "t"), stride: bytesOf("(", ...[12, 6, 2, 1].map(int), "t") })],
    ["no axes between marks", again({ size: "(t", stride: "(t" })],
    [
      "wide numbers",
      again({ offset: long(2), numel: bytesOf("J", u32(12)), size: bytesOf("M\x02\0", "\x85"), stride: bytesOf(long(1), "\x85") }),
    ],
    ["with a gradient", again({ grad: "\x88" })],
    ["empty", again({ size: bytesOf(int(0), "\x85"), stride: bytesOf(int(1), "\x85") })],
    ["another storage", again({ key: text("1") })],
    ["a short text", again({ key: "\x8c\x011" })],
  ];
  for (const [what, value] of taken) {
    it(`${what}`, async () => {
      const both = await readBoth(fileOf([again(), value, again({ key: text("1"), slot: 200 })]), what);
      expect(both.quick).to.equal(true);
      expect(both.value).to.have.property("root");
      const alone = await readBoth(fileOf([value]), what);
      expect(alone.quick, "by itself").to.equal(true);
    });
  }

  it("memoized in the order of the slots", async () => {
    const value = again({ memoize: "\x94" });
    expect((await readBoth(fileOf([value, value], HEAD_IN_ORDER), "in order")).quick).to.equal(true);
    // The tuple of sizes of the first.
    const read = await readBoth(fileOf([value, bytesOf(value, "0", get(DICT + 3))], HEAD_IN_ORDER), "read again");
    expect(read.value).to.have.property("root");
    // Slots go on behind those of the tensor.
    const marked = bytesOf(text("mark"), "\x940", get(DICT + 8));
    expect((await readBoth(fileOf([value, marked], HEAD_IN_ORDER), "the next")).value).to.have.nested.property("root[2][1]", "mark");
  });

  const second = (written: Written = {}): Uint8Array => again({ slot: 500, ...written });
  const other = bytesOf(text("cuda:1"), "q", HOST, "0");
  const repeated: readonly (readonly [what: string, value: Part])[] = [
    ["of the same storage", second()],
    ["of another storage", second({ key: text("1") })],
    ["of a key that is longer", second({ key: text("11") })],
    ["of a key that has no record", second({ key: text("7") })],
    ["of a key that is no digit", second({ key: text("x") })],
    ["on another device by then", bytesOf(other, second({ key: text("1") }))],
    ["of another type by then", bytesOf(global("torch", "IntStorage"), "q", TYPE, "0", second({ key: text("1") }))],
    ["of another type of the same storage", bytesOf(global("torch", "IntStorage"), "q", TYPE, "0", second())],
    ["with hooks that are another class by then", bytesOf(global("collections", "Counter"), "q", DICT, "0", second())],
    ["whose tuple is read again", bytesOf(second(), "0", "j", u32(502))],
    ["whose tensor is read again", bytesOf(second(), "0", "j", u32(506))],
    ["with another flag", second({ grad: "\x88" })],
    ["of another size", second({ numel: int(11) })],
    ["that is larger than its storage", second({ size: bytesOf(int(3), int(5), "\x86") })],
  ];
  for (const [what, value] of repeated) {
    it(`like one before it, ${what}`, async () => {
      for (const behind of [[], [second({ slot: 700, key: text("1") })], [again({ slot: 700 }), second({ slot: 800 })]]) {
        await readBoth(fileOf([again(), value, ...behind]), what);
      }
    });
  }

  it("of as many shapes as one likes, in any order", async () => {
    const shapes = Array.from({ length: 40 }, (_, index) => ({
      offset: int(index % 8),
      size: bytesOf(int(1 + (index % 5)), "\x85"),
      stride: bytesOf(int(1), "\x85"),
    }));
    const order = randomBytes(300, 5);
    const values = Array.from(order, (each, index) =>
      again({ ...shapes[index < 150 ? each % 40 : each % 5], slot: 20 * index + 300, key: text(String(each & 1)) }),
    );
    expect((await readBoth(fileOf(values), "many shapes")).quick).to.equal(true);
  });

  const left: readonly (readonly [what: string, value: Part])[] = [
    ["a key that is no counter", again({ key: text("00") })],
    ["a key that is no number", again({ key: text("x") })],
    ["a key that has no record", again({ key: text("7") })],
    ["a record of another size", again({ numel: int(11) })],
    ["a negative size", again({ size: bytesOf(int(-1), "\x85"), stride: bytesOf(int(1), "\x85") })],
    ["more sizes than strides", again({ stride: bytesOf(int(1), "\x85") })],
    ["an offset behind the storage", again({ offset: int(1) })],
    ["sizes that overflow", again({ size: bytesOf(long(2 ** 31), long(2 ** 31), "\x86"), stride: bytesOf(int(0), int(0), "\x86") })],
    ["two sizes in a tuple of one", again({ size: bytesOf(int(3), int(4), "\x85") })],
    ["a float as offset", again({ offset: bytesOf("G", new Uint8Array(8)) })],
    ["True as a size", again({ size: bytesOf("\x88", "\x85"), stride: bytesOf(int(1), "\x85") })],
    ["a flag that is a number", again({ grad: int(1) })],
    ["an extension code where a tuple is", again({ size: "\x84", stride: ")", slot: null })],
    ["hooks that are a text", again({ hooks: text("x") })],
    ["flags behind the hooks", again({ rest: bytesOf("}", text("neg"), "\x88s") })],
    ["a class that is none", again({ type: get(MAKE) })],
    ["a storage class of another type", again({ type: global("torch", "DoubleStorage") })],
    ["a tuple that is read again", bytesOf(again(), "0", "j", u32(102))],
    ["a text that is read again", bytesOf(again(), "0", "j", u32(100))],
    ["a tensor that is read again", bytesOf(again(), "0", "j", u32(106))],
    ["a slot that is not filled yet", again({ key: bytesOf("j", u32(101)) })],
  ];
  for (const [what, value] of left) {
    it(`leaves to the machine: ${what}`, async () => {
      await readBoth(fileOf([again({ slot: 300 }), value, again({ slot: 400, key: text("1") })]), what);
    });
  }

  it("whatever byte of a pickle is wrong", async () => {
    const values = taken.flatMap(([, value], index) => (index % 2 === 0 ? [value, value] : [again({ slot: 50 * index + 300 })]));
    const good = pickleOf(values, HEAD);
    const chance = new DataView(randomBytes(8 * 3000, 3).buffer.slice(0));
    const outcomes = new Set<string>();
    for (let round = 0; round < 3000; round += 1) {
      const bad = Uint8Array.from(good);
      const at = chance.getUint32(8 * round, true) % (good.length - 650);
      bad[at] = round % 3 === 0 ? (good[chance.getUint32(8 * round + 4, true) % good.length] as number) : chance.getUint8(8 * round + 4);
      const { value } = await readBoth(torchZipFile({ pickle: bad, storages: { 0: TWELVE, 1: TWELVE } }), `byte ${at} is ${bad[at]}`);
      outcomes.add((value as { code?: string }).code ?? "read");
    }
    expect(outcomes.size).to.be.above(8);
  }).timeout(120_000);
});
