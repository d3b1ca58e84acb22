/** What is used of koffi, an optional dependency that may be absent. */

/** A C function. */
export type NativeFunction = (...args: unknown[]) => unknown;

/** A loaded library. */
export interface Library {
  func(prototype: string): NativeFunction;
}

/** The module. Pointers are BigInt and carry no type. */
export interface Koffi {
  load(name: string): Library;
  /** An ArrayBuffer over memory that nobody frees. */
  view(pointer: bigint, nbytes: number): ArrayBuffer;
  address(view: ArrayBufferView): bigint;
  errno(): number;
}
