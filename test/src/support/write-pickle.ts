/** Writes pickles by hand: opcodes as text and bytes, and the few shapes that torch's files are made of. */

/** A part of a pickle: text is one byte per character, numbers are single bytes. */
export type Part = string | number | Uint8Array;

/** Parts joined. */
export function bytesOf(...parts: readonly Part[]): Uint8Array {
  return Buffer.concat(
    parts.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : typeof part === "number" ? Buffer.from([part]) : part)),
  );
}

/** Little-endian integers. */
export function u16(value: number): Uint8Array {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}
export function u32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}
export function u64(value: number | bigint): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
  return bytes;
}

/** A BINUNICODE. */
export function text(value: string): Uint8Array {
  const utf8 = Buffer.from(value, "utf8");
  return bytesOf("X", u32(utf8.length), utf8);
}

/** An int, in the shortest form torch's writer uses. */
export function int(value: number | bigint): Uint8Array {
  if (typeof value === "number" && value >= 0 && value < 256) return bytesOf("K", value);
  if (typeof value === "number" && value >= -(2 ** 31) && value < 2 ** 31) return bytesOf("J", u32(value));
  const bytes: number[] = [];
  for (let rest = BigInt(value); bytes.length < 9; rest >>= 8n) bytes.push(Number(rest & 255n));
  return bytesOf("\x8a", bytes.length, Uint8Array.from(bytes));
}

/** A tuple of parts. */
export function tuple(...parts: readonly Part[]): Uint8Array {
  return bytesOf("(", ...parts, "t");
}

/** A GLOBAL. */
export function global(module: string, name: string): Uint8Array {
  return bytesOf("c", Buffer.from(`${module}\n${name}\n`, "utf8"));
}

/** A call: GLOBAL, arguments, REDUCE. */
export function call(module: string, name: string, ...args: readonly Part[]): Uint8Array {
  return bytesOf(global(module, name), tuple(...args), "R");
}

/** A dict of pairs whose values are parts. */
export function dict(pairs: readonly (readonly [key: Part, value: Part])[]): Uint8Array {
  return bytesOf("}(", ...pairs.flat(), "u");
}

/** A whole pickle of protocol 2. */
export function pickle(...parts: readonly Part[]): Uint8Array {
  return bytesOf("\x80\x02", ...parts, ".");
}

/** Shape of a tensor written by `tensor`; what is left out is as torch would write it. */
export interface TensorPickle {
  readonly key?: Part;
  readonly type?: Part;
  readonly location?: Part;
  readonly numel?: Part;
  readonly offset?: Part;
  readonly size?: Part;
  readonly stride?: Part;
  /** Elements of the persistent id after the fifth. */
  readonly view?: Part;
  readonly function?: string;
  readonly requiresGrad?: Part;
  readonly hooks?: Part;
  /** Arguments after the hooks. */
  readonly rest?: readonly Part[];
}

/** The storage of a tensor: BINPERSID of a tuple. */
export function storage(parts: TensorPickle = {}): Uint8Array {
  const view = parts.view === undefined ? [] : [parts.view];
  const type = parts.type ?? global("torch", "FloatStorage");
  return bytesOf(tuple(text("storage"), type, parts.key ?? text("0"), parts.location ?? text("cpu"), parts.numel ?? int(12), ...view), "Q");
}

/** A float32 tensor of 3 x 4 on storage 0, unless told otherwise. */
export function tensor(parts: TensorPickle = {}): Uint8Array {
  const layout = [parts.offset ?? int(0), parts.size ?? tuple(int(3), int(4)), parts.stride ?? tuple(int(4), int(1))];
  const hooks = parts.hooks ?? call("collections", "OrderedDict");
  return call(
    "torch._utils",
    parts.function ?? "_rebuild_tensor_v2",
    storage(parts),
    ...layout,
    parts.requiresGrad ?? "\x89",
    hooks,
    ...(parts.rest ?? []),
  );
}
