/**
 * Reading takes at most twice the file and 64 MiB, whatever the file says: measured from outside in fresh processes, on pickles that make as many
 * values as bytes allow.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { torchZipFile } from "../support/torch-file.ts";
import { bytesOf, type Part, u32 } from "../support/write-pickle.ts";
import { expectBounded } from "./measure-growth.ts";

const MIB = 2 ** 20;
const FILE_BYTES = 4 * MIB;

/** `unit` again and again, in lists as long as the stack may be. */
function lists(...unit: Part[]): Uint8Array {
  return listsAfter([], ...unit);
}

function listsAfter(head: readonly Part[], ...unit: Part[]): Uint8Array {
  const one = bytesOf(...unit);
  const count = Math.floor(FILE_BYTES / one.length);
  const parts: Part[] = ["\x80\x04", ...head, "]"];
  for (let done = 0; done < count; done += 900_000) {
    parts.push("(", Buffer.alloc(Math.min(900_000, count - done) * one.length, one), "e");
  }
  return bytesOf(...parts, ".");
}

/** A dict of as many entries as fit, keys made by `key`. */
function dictOf(key: (index: number) => Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [bytesOf("\x80\x04}")];
  const count = Math.floor(FILE_BYTES / (key(0).length + 1));
  for (let index = 0; index < count; index += 1) {
    parts.push(bytesOf(index % 400_000 === 0 ? (index === 0 ? "(" : "u(") : "", key(index), "N"));
  }
  return Buffer.concat([...parts, bytesOf("u.")]);
}

const made = "cfoo\nbar\nq\x010";
const PICKLES: ReadonlyMap<string, () => Uint8Array> = new Map([
  ["empty dicts", () => lists("}")],
  ["empty lists", () => lists("]")],
  ["tuples of one", () => lists("N\x85")],
  ["nested tuples", () => bytesOf("\x80\x04N", Buffer.alloc(FILE_BYTES, 0x85), ".")],
  ["floats", () => lists("G", Buffer.from([0x3f, 0xf1, 1, 2, 3, 4, 5, 6]))],
  ["small ints", () => lists("\x8a\x01\x05")],
  ["large ints", () => lists("\x8a\x09", Buffer.from([1, 2, 3, 4, 5, 6, 7, 8, 9]))],
  ["empty texts", () => lists("\x8c\x00")],
  ["empty bytes", () => lists("C\x00")],
  ["lists of one", () => lists("]Na")],
  ["dicts of one", () => lists("}K\x01Ns")],
  ["objects", () => listsAfter([made], "h\x01)R")],
  ["objects with state", () => listsAfter([made], "h\x01)R}b")],
  ["bytes of text", () => listsAfter(["c_codecs\nencode\nq\x010X", u32(1), "a\x8c\x06latin1\x86q\x020"], "h\x01h\x02R")],
  [
    "tensors without bytes",
    () => listsAfter(["ctorch._utils\n_rebuild_meta_tensor_no_storage\nq\x010(ctorch\nfloat32\n))\x89tq\x020"], "h\x01h\x02R"),
  ],
  ["memo slots", () => bytesOf("\x80\x04N", Buffer.alloc(FILE_BYTES, 0x94), ".")],
  ["texts as keys", () => dictOf((index) => bytesOf("\x8c\x04", index.toString(36).padStart(4, "0")))],
  ["tuples as keys", () => dictOf((index) => bytesOf("J", u32(index), "\x85"))],
  ["ints as keys", () => dictOf((index) => bytesOf("J", u32(Math.imul(index, 2654435761))))],
]);

const ALONE = new Set(["empty dicts", "memo slots", "texts as keys"]);

describe("memory of reading", () => {
  const directory = temporaryDirectory();
  const measure = async (name: string, bytes: Uint8Array): Promise<void> => {
    const path = join(directory(), name);
    await writeFile(path, bytes);
    await expectBounded(path);
  };

  for (const [what, make] of PICKLES) {
    it(what, async () => {
      const bytes = make();
      await measure("hostile.pt", torchZipFile({ pickle: bytes, storages: {} }));
      // Read window by window, where nothing is known of the memo beforehand.
      if (ALONE.has(what)) await measure("hostile.pkl", bytes);
    }).timeout(120_000);
  }
});
