/**
 * Values that exist only while a pickle is read. They stand where JavaScript's own types lose a difference that matters later: a float
 * that looks like an integer may not be a tensor's size, and the bytes of a Python 2 string may be text or an array's content. Whatever
 * of them is left in the tree is replaced at the end (`settle.ts`).
 */
import type { TreeValue } from "../manifest/checkpoint-tree.ts";
import { decodePython2 } from "./decode-text.ts";

/** Base of all of them: one `instanceof` tells whether a value is final. */
export abstract class Unsettled {
  /** The same object, typed as what the machine's stack holds. */
  get value(): TreeValue {
    return this as unknown as TreeValue;
  }
}

/** A Python float with an integer's value. Other floats are plain numbers. */
export class IntegralFloat extends Unsettled {
  readonly number: number;
  constructor(number: number) {
    super();
    this.number = number;
  }
}

/** A Python 2 `str` that is not plain ASCII: text or bytes, which only its user knows. */
export class ByteString extends Unsettled {
  readonly bytes: Uint8Array;
  private decoded: string | null = null;
  constructor(bytes: Uint8Array) {
    super();
    this.bytes = bytes;
  }

  /** The bytes as text; decoded once, since one string may be used many times. */
  get text(): string {
    this.decoded ??= decodePython2(this.bytes);
    return this.decoded;
  }
}

/** A large run of raw bytes that was skipped, not read. `offset` is in the coordinates of the reading's source. */
export class SkippedBytes extends Unsettled {
  readonly offset: number;
  readonly nbytes: number;
  /** Whether Python 2 would call it `str`. */
  readonly text: boolean;
  /** The value it became at the end: the same wherever it stands. */
  settled: Uint8Array | string | null = null;
  constructor(offset: number, nbytes: number, text: boolean) {
    super();
    this.offset = offset;
    this.nbytes = nbytes;
    this.text = text;
  }
}

/** Whether a value of the stack is not final. */
export function isUnsettled(value: unknown): value is Unsettled {
  return value instanceof Unsettled;
}
