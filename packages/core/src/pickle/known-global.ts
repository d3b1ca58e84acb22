/** Globals (classes and functions a pickle names) as values, and what the reader knows about some of them. */

import type { ErrorDetails, FormatError } from "../errors/checkpoint-error.ts";
import type { ErrorCode } from "../errors/error-codes.ts";
import type { Limits } from "../limits/limits.ts";
import { OpaqueValue, type TreeDict, type TreeValue } from "../manifest/checkpoint-tree.ts";
import type { DType } from "../tensor/dtype.ts";

/** What a known global may ask of the machine that meets it. */
export interface PickleCall {
  readonly limits: Limits;
  /** An error that names file, record, byte offset and opcode. To be thrown. */
  refuse(code: ErrorCode, text: string, details?: ErrorDetails): FormatError;
  /** Counts estimated heap bytes of a value. @throws {FormatError} RANKCAST_LIMIT above `pickleValueBytes`. */
  charge(nbytes: number): void;
  /** Notes something odd but acceptable, once per code. */
  warn(code: string, message: string): void;
  /** Counts a tensor. @throws {FormatError} RANKCAST_LIMIT above `tensors`. */
  countTensor(): void;
  /** `dict[key] = value` with Python's idea of equal keys. @throws {FormatError} RANKCAST_PICKLE_KEY, RANKCAST_LIMIT. */
  setItem(dict: TreeDict, key: TreeValue, value: TreeValue): void;
}

/**
 * What stands for calling a global. It is pure: it looks at plain values and returns one. Names from the file select an entry of a Map,
 * never a JavaScript function by its name.
 */
export interface KnownGlobal {
  /** Answers REDUCE, NEWOBJ, NEWOBJ_EX without keywords, INST and OBJ. */
  readonly call?: (args: readonly TreeValue[], call: PickleCall) => TreeValue;
  /** Marks `torch.storage._load_from_bytes`: its bytes hold a checkpoint of their own. */
  readonly nested?: true;
  /** Marks `torch._utils._rebuild_tensor_v2`, whose calls mostly look alike (`plain-tensors.ts`). */
  readonly dense?: true;
}

/** Known globals by `module\0name`, names as Python 3 spells them. */
export type GlobalTable = ReadonlyMap<string, KnownGlobal>;

/** Key of a `GlobalTable`. Python forbids NUL in names of modules that exist, so two different names never share a key. */
export function globalKey(module: string, name: string): string {
  return `${module}\0${name}`;
}

/** A class or function as a value: named, inert. One object per name and pickle. */
export class GlobalRef extends OpaqueValue {
  readonly module: string;
  readonly name: string;
  readonly known: KnownGlobal | undefined;
  /** What kind of storage the name says, once somebody has asked (`torch-names.ts`): every tensor asks. */
  storageType: DType | "untyped" | null | undefined = undefined;
  constructor(module: string, name: string, known: KnownGlobal | undefined, dangerous: boolean) {
    super(`${module}.${name}`, [], dangerous);
    this.module = module;
    this.name = name;
    this.known = known;
  }
}

/**
 * An object whose value is known only once BUILD gives its state (an ndarray, a tensor of torch before 0.4). Until then, or when BUILD
 * never comes, it is an inert object of its class.
 */
export abstract class PendingValue extends OpaqueValue {
  /** Where the machine has memoized it; rewritten when the value is known. */
  readonly memoSlots: number[] = [];
  /** The value that this object and `state` stand for; the object itself when it stays opaque. */
  abstract build(state: TreeValue, call: PickleCall): TreeValue;
}

/** An opaque object that takes its own state (`numpy.dtype`): BUILD changes it in place. */
export abstract class StatefulValue extends OpaqueValue {
  abstract build(state: TreeValue, call: PickleCall): void;
}
