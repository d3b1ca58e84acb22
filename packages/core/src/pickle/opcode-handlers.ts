/** Opcode byte to what it does. */
import * as container from "./container-opcodes.ts";
import * as number from "./number-opcodes.ts";
import * as object from "./object-opcodes.ts";
import { OPCODES, type OpcodeName } from "./opcodes.ts";
import type { PickleMachine } from "./pickle-machine.ts";
import * as stack from "./stack-opcodes.ts";
import * as string from "./string-opcodes.ts";

/** Runs one opcode; the cursor is behind its byte. Reads all its bytes before it changes anything. */
export type OpcodeHandler = (machine: PickleMachine) => void;

const BY_NAME: Readonly<Record<OpcodeName, OpcodeHandler>> = {
  MARK: stack.mark,
  STOP: stack.stop,
  POP: stack.pop,
  POP_MARK: stack.popMark,
  DUP: stack.dup,
  FLOAT: number.float,
  INT: number.int,
  BININT: number.binInt,
  BININT1: number.binInt1,
  LONG: number.long,
  BININT2: number.binInt2,
  NONE: number.none,
  PERSID: object.persId,
  BINPERSID: object.binPersId,
  REDUCE: object.reduce,
  STRING: string.string,
  BINSTRING: string.binString,
  SHORT_BINSTRING: string.shortBinString,
  UNICODE: string.unicode,
  BINUNICODE: string.binUnicode,
  APPEND: container.append,
  BUILD: object.build,
  GLOBAL: object.global,
  DICT: container.dict,
  EMPTY_DICT: container.emptyDict,
  APPENDS: container.appends,
  GET: stack.get,
  BINGET: stack.binGet,
  INST: object.inst,
  LONG_BINGET: stack.longBinGet,
  LIST: container.list,
  EMPTY_LIST: container.emptyList,
  OBJ: object.obj,
  PUT: stack.put,
  BINPUT: stack.binPut,
  LONG_BINPUT: stack.longBinPut,
  SETITEM: container.setItem,
  TUPLE: container.tuple,
  EMPTY_TUPLE: container.emptyTuple,
  SETITEMS: container.setItems,
  BINFLOAT: number.binFloat,
  BINBYTES: string.binBytes,
  SHORT_BINBYTES: string.shortBinBytes,
  PROTO: stack.proto,
  NEWOBJ: object.newObj,
  EXT1: object.extension,
  EXT2: object.extension,
  EXT4: object.extension,
  TUPLE1: container.tuple1,
  TUPLE2: container.tuple2,
  TUPLE3: container.tuple3,
  NEWTRUE: number.newTrue,
  NEWFALSE: number.newFalse,
  LONG1: number.long1,
  LONG4: number.long4,
  SHORT_BINUNICODE: string.shortBinUnicode,
  BINUNICODE8: string.binUnicode8,
  BINBYTES8: string.binBytes8,
  EMPTY_SET: container.emptySet,
  ADDITEMS: container.addItems,
  FROZENSET: container.frozenSet,
  NEWOBJ_EX: object.newObjEx,
  STACK_GLOBAL: object.stackGlobal,
  MEMOIZE: stack.memoizeNext,
  FRAME: stack.frame,
  BYTEARRAY8: string.binBytes8,
  NEXT_BUFFER: object.nextBuffer,
  READONLY_BUFFER: object.readonlyBuffer,
};

/** What each byte does; undefined where there is no opcode. */
export const HANDLERS: readonly (OpcodeHandler | undefined)[] = makeHandlers();

function makeHandlers(): (OpcodeHandler | undefined)[] {
  const handlers = new Array<OpcodeHandler | undefined>(256).fill(undefined);
  for (const [name, handler] of Object.entries(BY_NAME)) handlers[OPCODES[name as OpcodeName]] = handler;
  return handlers;
}
