/** What is used of koffi, an optional dependency that may be absent. */

/** A C function. */
export interface NativeFunction {
  (...args: unknown[]): unknown;
  /** Runs it on a thread of Node's pool; the last argument is told error and result. */
  async(...args: unknown[]): void;
}

/** A loaded library. */
export interface Library {
  /** @throws {Error} when it has no such function. */
  func(prototype: string): NativeFunction;
}

/** The module. Pointers are BigInt and carry no type. */
export interface Koffi {
  /** Null: what this process has loaded already. @throws {Error} when there is no such library. */
  load(name: string | null): Library;
  /** An ArrayBuffer over memory that nobody frees. */
  view(pointer: bigint, nbytes: number): ArrayBuffer;
  address(view: ArrayBufferView): bigint;
  errno(): number;
}
