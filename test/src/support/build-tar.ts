/** Writes the tar files of torch 0.1, byte by byte. */
import { TWELVE } from "./torch-file.ts";
import { bytesOf, global, int, type Part, pickle, text, tuple, u32, u64 } from "./write-pickle.ts";

/** A ustar archive of regular files. */
export function buildTar(members: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const parts = Object.entries(members).flatMap(([name, bytes]) => [
    header(name, bytes.length),
    bytes,
    new Uint8Array(-bytes.length & 511),
  ]);
  return bytesOf(...parts, new Uint8Array(1024));
}

function header(name: string, nbytes: number): Uint8Array {
  const block = Buffer.alloc(512);
  block.write(name, 0, "latin1");
  block.write("0000644\0", 100, "latin1");
  block.write(`${nbytes.toString(8).padStart(11, "0")}\0`, 124, "latin1");
  block.fill(0x20, 148, 156);
  block.write("0", 156, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

/** A row of the table of storages. */
export function storageRow(key: Part = int(10), type = "FloatStorage", count: number | bigint = 12, bytes = TWELVE): Uint8Array {
  return bytesOf(pickle(tuple(key, text("cpu"), global("torch", type))), u64(count), bytes);
}

/** A row of the table of tensors. */
export function tensorRow(
  parts: { key?: Part; storage?: Part; type?: string; rank?: number; size?: number[]; stride?: number[]; offset?: number } = {},
): Uint8Array {
  const { key = int(1), storage = int(10), type = "FloatTensor", size = [3, 4], stride = [4, 1], offset = 0 } = parts;
  const numbers = [...size, ...stride, offset].map((each) => u64(each));
  return bytesOf(pickle(tuple(key, storage, global("torch", type))), u32(parts.rank ?? size.length), u32(0), ...numbers);
}

/** Parts of a torch tar that differ from one tensor `w` on one storage. */
export interface TarParts {
  readonly storages?: readonly Uint8Array[];
  readonly storageCount?: Part;
  /** A pickle of the views. */
  readonly views?: Uint8Array;
  readonly tensors?: readonly Uint8Array[];
  readonly tensorCount?: Part;
  readonly object?: Uint8Array;
  readonly system?: Uint8Array;
}

/** A file of torch 0.1. */
export function torchTarFile(parts: TarParts = {}): Uint8Array {
  const storages = parts.storages ?? [storageRow()];
  const tensors = parts.tensors ?? [tensorRow()];
  return buildTar({
    sys_info: parts.system ?? pickle("}"),
    pickle: parts.object ?? pickle("}", text("w"), "K\x01Qs"),
    tensors: bytesOf(pickle(parts.tensorCount ?? int(tensors.length)), ...tensors),
    storages: bytesOf(pickle(parts.storageCount ?? int(storages.length)), ...storages, parts.views ?? pickle("]")),
  });
}
