/**
 * Maps a file hundreds of times and drops the buffers, keeping small views of some; run with --expose-gc. Prints how many mappings of the file
 * the kernel has at the end, and whether the kept views still show the right bytes. Argument: path of the file.
 */
import { closeSync, openSync, readFileSync, statSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { Storage, Tensor } from "@rankcast/core";
import { type MappedBytes, nativeMemory } from "@rankcast/core/runtime";

const MAPS = 500;
const KEPT_EVERY = 50;

const [path = ""] = process.argv.slice(2);
const native = nativeMemory(false);
if (!native) throw new Error("nothing can be mapped here");
const { size } = statSync(path);
const fd = openSync(path, "r");
const kept: { readonly how: string; readonly show: () => number }[] = [];
for (let count = 0; count < MAPS; count += 1) keepOrDrop(count, native.mapPrivate(fd, 0, size));
closeSync(fd);
const collect = (globalThis as { gc?: () => void }).gc;
for (let turn = 0; turn < 20 && mappings() > kept.length; turn += 1) {
  collect?.();
  await setImmediate();
}
const wrong = kept.filter(({ show }) => show() !== 7).map(({ how }) => how);
process.stdout.write(JSON.stringify({ maps: MAPS, kept: kept.length, mappings: mappings(), wrong }));

/** Every kind of thing that user code may hold on to, or may do to get hold of the memory, while it forgets the buffer. */
function keepOrDrop(count: number, { buffer, byteOffset, nbytes }: MappedBytes): void {
  if (count % KEPT_EVERY !== 0) return;
  const end = byteOffset + nbytes;
  const bytes = new Uint8Array(buffer, end - 8, 8);
  const storage = new Storage(buffer, end - 8, 8);
  const tensor = new Tensor({ dtype: "uint8", shape: [8], storage });
  const data = tensor.data as Uint8Array;
  const ways: [string, () => number][] = [
    ["typed array", () => bytes[7] ?? 0],
    [
      "subarray",
      (() => {
        const part = bytes.subarray(7);
        return () => part[0] ?? 0;
      })(),
    ],
    [
      "DataView",
      (() => {
        const view = new DataView(buffer, end - 1);
        return () => view.getUint8(0);
      })(),
    ],
    [
      "Buffer",
      (() => {
        const part = Buffer.from(buffer, end - 1, 1);
        return () => part[0] ?? 0;
      })(),
    ],
    ["storage", () => storage.bytes(7, 1)[0] ?? 0],
    ["tensor", () => Number(tensor.get(7))],
    ["tensor.data", () => data[7] ?? 0],
    [
      "a copy that took the plain view away",
      (() => {
        // Foreign memory cannot change hands: what arrives is a copy.
        const plain = native?.plainView(buffer) ?? { buffer, byteOffset };
        const moved = new Uint8Array(structuredClone(plain.buffer as ArrayBuffer, { transfer: [plain.buffer as ArrayBuffer] }));
        return () => moved.at(-1) ?? 0;
      })(),
    ],
    [
      "structured clone",
      (() => {
        const clone = structuredClone(bytes);
        return () => clone[7] ?? 0;
      })(),
    ],
    ["the buffer itself", () => new Uint8Array(buffer)[end - 1] ?? 0],
  ];
  const [how, show] = ways[(count / KEPT_EVERY) % ways.length] as [string, () => number];
  kept.push({ how, show });
}

function mappings(): number {
  return readFileSync("/proc/self/maps", "utf8")
    .split("\n")
    .filter((line) => line.endsWith(path)).length;
}
