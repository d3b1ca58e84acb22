/**
 * Reads a byte of every page of a WebAssembly memory as fast as memory answers. A loop in JavaScript does it in twice the time, and several times that
 * before it is compiled, which happens in the middle of the first load; WebAssembly is compiled before it runs.
 */

/** Length of the steps; page sizes are multiples of it. */
export const PAGE_BYTES = 4096;

/** Sum of the bytes at `begin`, `begin` + 4096, … of `count` pages, modulo 2^32. A range beyond the memory's end traps. */
export type ReadPages = (begin: number, count: number) => number;

/** The part of the engine's interface that is used; TypeScript has it with the DOM only. */
interface Engine {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
}

/** Pages that one turn of the loop reads: the processor waits for their memory at the same time, and does little else. */
const UNROLLED = 16;

/**
 * WebAssembly core specification, binary format. The memory may be of any size, as long as it is shared and says how large it may become.
 *
 *     (module
 *       (import "m" "m" (memory 0 65536 shared))
 *       (func (export "r") (param $begin i32) (param $count i32) (result i32) (local $sum i32)
 *         <loop over 16 pages at once> <loop over 1 page at once>
 *         (local.get $sum)))
 */
function moduleBytes(): number[] {
  const body = [0x01, 0x01, 0x7f, ...loopOver(UNROLLED), ...loopOver(1), 0x20, 0x02, 0x0b];
  const code = [0x01, ...unsigned(body.length), ...body];
  // biome-ignore format: one section per line
  return [
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00,
    0x01, 0x07, 0x01, 0x60, 0x02, 0x7f, 0x7f, 0x01, 0x7f,
    0x02, 0x0b, 0x01, 0x01, 0x6d, 0x01, 0x6d, 0x02, 0x03, 0x00, 0x80, 0x80, 0x04,
    0x03, 0x02, 0x01, 0x00,
    0x07, 0x05, 0x01, 0x01, 0x72, 0x00, 0x00,
    0x0a, ...unsigned(code.length), ...code,
  ];
}

/**
 *     (block $done
 *       (loop $next
 *         (br_if $done (i32.lt_u (local.get $count) (i32.const <pages>)))
 *         <for each page> (local.set $sum (i32.add (local.get $sum) (i32.load8_u offset=<page * 4096> (local.get $begin))))
 *         (local.set $begin (i32.add (local.get $begin) (i32.const <pages * 4096>)))
 *         (local.set $count (i32.sub (local.get $count) (i32.const <pages>)))
 *         (br $next)))
 */
function loopOver(pages: number): number[] {
  const reads = Array.from({ length: pages }, (_, page) => [0x20, 0x00, 0x2d, 0x00, ...unsigned(page * PAGE_BYTES), 0x6a]).flat();
  // biome-ignore format: one instruction of the loop per line
  return [
    0x02, 0x40, 0x03, 0x40,
    0x20, 0x01, 0x41, ...signed(pages), 0x49, 0x0d, 0x01,
    0x20, 0x02, ...reads, 0x21, 0x02,
    0x20, 0x00, 0x41, ...signed(pages * PAGE_BYTES), 0x6a, 0x21, 0x00,
    0x20, 0x01, 0x41, ...signed(pages), 0x6b, 0x21, 0x01,
    0x0c, 0x00, 0x0b, 0x0b,
  ];
}

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

/** LEB128 of a number that is not negative: bit 6 of the last byte would be its sign. */
function signed(value: number): number[] {
  return value < 0x40 ? [value] : [(value & 0x7f) | 0x80, ...signed(value >>> 7)];
}

let compiled: object | undefined;

/** The reader of one memory. It keeps the memory alive. @throws {Error} where there is no WebAssembly. */
export function pageReader(memory: object): ReadPages {
  const { WebAssembly: engine } = globalThis as unknown as { readonly WebAssembly: Engine };
  compiled ??= new engine.Module(new Uint8Array(moduleBytes()));
  const { exports } = new engine.Instance(compiled, { m: { m: memory } });
  return (exports as { readonly r: ReadPages }).r;
}

/** After so many bytes of code in loops V8 compiles a WebAssembly function once more, on another thread (`--wasm-tiering-budget`). */
const TIERING_BYTES = 1_800_000;
/** Of the loop, for one page; at least. */
const READ_CODE_BYTES = 8;

/** Reads pages of `memory`, of 64 KiB at least, until the engine has compiled the reader once more: in a load it would take a processor from other ranks. */
export function rehearseReader(memory: object): void {
  const read = pageReader(memory);
  for (let codeBytes = 0; codeBytes < TIERING_BYTES; codeBytes += UNROLLED * READ_CODE_BYTES) read(0, UNROLLED);
}
