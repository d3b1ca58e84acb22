/** What is known about Python's own types: those that writers of checkpoints use for plain values. */
import { ComplexValue, OpaqueValue, TreeDict, TreeList, type TreeValue } from "../manifest/checkpoint-tree.ts";
import { badArgument, floatOf, sequence, textOf } from "./call-arguments.ts";
import { encodeLatin1 } from "./decode-text.ts";
import { BYTES_BYTES, DICT_BYTES, ELEMENT_BYTES, ENTRY_BYTES, LIST_BYTES, OBJECT_BYTES, TABLE_BYTES } from "./heap-costs.ts";
import { GlobalRef, globalKey, type KnownGlobal, type PickleCall } from "./known-global.ts";
import { ByteString, SkippedBytes } from "./unsettled.ts";

type Call = NonNullable<KnownGlobal["call"]>;

const COMPLEX_BYTES = 80;

/** A list, set or deque of what a sequence holds; `maxlen` of a deque and other extras are not kept. */
function makeList(type: TreeList["type"]): Call {
  return (args, call) => {
    const elements = args[0] === undefined ? [] : membersOf(args[0], type, call);
    call.charge(LIST_BYTES + ELEMENT_BYTES * elements.length);
    return new TreeList(type, [...elements]);
  };
}

function membersOf(value: TreeValue, type: string, call: PickleCall): readonly TreeValue[] {
  if (value instanceof TreeList) return value.elements;
  throw badArgument(call, `a ${type} is made of a list`, value);
}

/** A dict of a dict or of pairs, starting with argument `at`. */
function makeDict(type: string, at = 0): Call {
  return (args, call) => {
    call.charge(DICT_BYTES);
    const made = new TreeDict(type);
    const source = args[at];
    if (source === undefined || source === null) return made;
    if (source instanceof TreeDict) {
      for (const [key, value] of source.entries) {
        call.charge(made.size === 0 ? TABLE_BYTES : ENTRY_BYTES);
        made.entries.set(key, value);
      }
      return made;
    }
    for (const pair of sequence(source, `the content of a ${type}`, call)) {
      const [key, value] = sequence(pair, `an item of a ${type}`, call);
      if (key === undefined || value === undefined) throw badArgument(call, `an item of a ${type} is a pair`, pair);
      call.setItem(made, key, value);
    }
    return made;
  };
}

/** Protocols below 3 have no bytes: Python writes text and this call. Other codecs than Latin-1 are no way to write bytes. */
function encode(args: readonly TreeValue[], call: PickleCall): TreeValue {
  const [text, codec] = args;
  if (args.length !== 2 || !LATIN1.has(codec as string)) return new OpaqueValue("_codecs.encode", args);
  return bytesOfText(text, call);
}

const LATIN1: ReadonlySet<string> = new Set(["latin1", "latin-1", "iso-8859-1"]);

function bytesOfText(text: TreeValue | undefined, call: PickleCall): TreeValue {
  if ((text as unknown) instanceof ByteString) return (text as unknown as ByteString).bytes;
  const bytes = typeof text === "string" ? encodeLatin1(text) : null;
  if (bytes === null)
    throw badArgument(
      call,
      "Latin-1 bytes are made of a text with characters up to U+00FF",
      typeof text === "string" ? "another text" : text,
    );
  call.charge(bytes.length + BYTES_BYTES);
  return bytes;
}

/** `bytearray()`, `bytearray(bytes)`, `bytearray(text, "latin-1")`, and the same of `bytes`. */
function makeBytes(args: readonly TreeValue[], call: PickleCall): TreeValue {
  const [source, codec] = args;
  if (source === undefined) call.charge(BYTES_BYTES);
  if (source === undefined) return new Uint8Array(0);
  if (source instanceof Uint8Array || (source as unknown) instanceof SkippedBytes) return source;
  if (LATIN1.has(codec as string) || (source as unknown) instanceof ByteString) return bytesOfText(source, call);
  throw badArgument(call, "bytes are made of bytes", source);
}

function makeComplex(args: readonly TreeValue[], call: PickleCall): TreeValue {
  const re = floatOf(args[0]);
  const im = floatOf(args[1] ?? 0);
  if (re === null || im === null) throw badArgument(call, "a complex number has two floats", re === null ? args[0] : args[1]);
  call.charge(COMPLEX_BYTES);
  return new ComplexValue(re, im);
}

/** `copyreg.__newobj__(cls, *args)` is how protocol 0 and 1 spell NEWOBJ. */
function newObject(args: readonly TreeValue[], call: PickleCall): TreeValue {
  const [made] = args;
  call.charge(OBJECT_BYTES + ELEMENT_BYTES * args.length);
  const rest = args.slice(1);
  if (!(made instanceof GlobalRef) || made.module === "copyreg") throw badArgument(call, "an object is made of a class", made);
  return made.known?.call ? made.known.call(rest, call) : new OpaqueValue(made.global, rest, made.dangerous);
}

/** `copyreg._reconstructor(cls, base, state)`: an object whose base (`dict`, say) has a value of its own. */
function reconstruct(args: readonly TreeValue[], call: PickleCall): TreeValue {
  const [made, , state] = args;
  if (!(made instanceof GlobalRef)) throw badArgument(call, "an object is made of a class", made);
  call.charge(OBJECT_BYTES);
  return new OpaqueValue(made.global, state === undefined || state === null ? [] : [state], made.dangerous);
}

/** `restore_type_tag(value, type)` of TorchScript only adds a type for its own compiler. */
function firstArgument(args: readonly TreeValue[], call: PickleCall): TreeValue {
  const [value] = args;
  if (value === undefined) throw badArgument(call, "a value is needed", value);
  return value;
}

/** A text of a text: Python 2 writes `unicode` objects of subclasses so. */
function makeText(args: readonly TreeValue[]): TreeValue {
  const text = args.length === 1 ? textOf(args[0]) : "";
  return text === null || args.length > 1 ? new OpaqueValue("builtins.str", args) : text;
}

const CALLS: readonly (readonly [module: string, name: string, call: Call])[] = [
  ["builtins", "list", makeList("list")],
  ["builtins", "tuple", makeList("tuple")],
  ["builtins", "set", makeList("set")],
  ["builtins", "frozenset", makeList("frozenset")],
  ["builtins", "dict", makeDict("dict")],
  ["builtins", "bytes", makeBytes],
  ["builtins", "bytearray", makeBytes],
  ["builtins", "complex", makeComplex],
  ["builtins", "str", makeText],
  ["collections", "OrderedDict", makeDict("OrderedDict")],
  ["collections", "Counter", makeDict("Counter")],
  ["collections", "defaultdict", makeDict("defaultdict", 1)],
  ["collections", "deque", makeList("deque")],
  ["_codecs", "encode", encode],
  ["copyreg", "__newobj__", newObject],
  ["copyreg", "_reconstructor", reconstruct],
  ["torch.jit._pickle", "restore_type_tag", firstArgument],
  ["torch.jit._pickle", "build_intlist", makeList("list")],
  ["torch.jit._pickle", "build_doublelist", makeList("list")],
  ["torch.jit._pickle", "build_boollist", makeList("list")],
  ["torch.jit._pickle", "build_tensorlist", makeList("list")],
];

/** Python's plain types and the calls that protocols below 3 need for them. */
export const PYTHON_GLOBALS: ReadonlyMap<string, KnownGlobal> = new Map(
  CALLS.map(([module, name, call]) => [globalKey(module, name), { call }]),
);
