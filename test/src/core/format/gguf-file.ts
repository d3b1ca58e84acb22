/** Writes GGUF files byte by byte, after docs/gguf.md of ggml. */

/** One tensor to write. */
export interface Draft {
  readonly name: string;
  /** Fastest axis first, as in the file. */
  readonly dims: readonly (number | bigint)[];
  readonly type: number;
  readonly offset?: number;
  readonly data?: Uint8Array;
}

/** Liberties with the header. */
export interface Shape {
  readonly version?: number;
  readonly big?: boolean;
  readonly magic?: string;
  readonly alignment?: number;
  readonly tensorCount?: number;
  readonly pairCount?: number;
}

/** Writes numbers in the file's order and width. */
export class Writer {
  readonly parts: Buffer[] = [];
  readonly #big: boolean;
  readonly #wide: boolean;
  constructor(big: boolean, wide: boolean) {
    this.#big = big;
    this.#wide = wide;
  }
  u32(value: number): this {
    const bytes = Buffer.alloc(4);
    if (this.#big) bytes.writeUInt32BE(value);
    else bytes.writeUInt32LE(value);
    this.parts.push(bytes);
    return this;
  }
  u64(value: number | bigint): this {
    const bytes = Buffer.alloc(8);
    if (this.#big) bytes.writeBigUInt64BE(BigInt(value));
    else bytes.writeBigUInt64LE(BigInt(value));
    this.parts.push(bytes);
    return this;
  }
  count(value: number | bigint): this {
    return this.#wide ? this.u64(value) : this.u32(Number(value));
  }
  text(value: string): this {
    this.count(Buffer.byteLength(value));
    return this.raw(Buffer.from(value));
  }
  raw(bytes: Uint8Array): this {
    this.parts.push(Buffer.from(bytes));
    return this;
  }
  get bytes(): Buffer {
    return Buffer.concat(this.parts);
  }
}

/** A file with these metadata entries (already written) and tensors. */
export function ggufFile(drafts: readonly Draft[], pairs: readonly ((writer: Writer) => void)[] = [], shape: Shape = {}): Buffer {
  const { version = 3, big = false, alignment = 32, magic = "GGUF" } = shape;
  const writer = new Writer(big, version > 1);
  writer
    .raw(Buffer.from(magic))
    .u32(version)
    .count(shape.tensorCount ?? drafts.length)
    .count(shape.pairCount ?? pairs.length);
  for (const pair of pairs) pair(writer);
  let at = 0;
  const data: Buffer[] = [];
  for (const draft of drafts) {
    const bytes = Buffer.from(draft.data ?? []);
    writer.text(draft.name).u32(draft.dims.length);
    for (const size of draft.dims) writer.count(size);
    writer.u32(draft.type).u64(draft.offset ?? at);
    const padded = Buffer.alloc(Math.ceil(bytes.length / alignment) * alignment);
    bytes.copy(padded);
    data.push(padded);
    at += padded.length;
  }
  const header = writer.bytes;
  return Buffer.concat([header, Buffer.alloc((alignment - (header.length % alignment)) % alignment), ...data]);
}
