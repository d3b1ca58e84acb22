/**
 * Opcodes that name globals, call them and give objects their state. Nothing is called: a known global answers with a plain value, an
 * unknown one becomes an `OpaqueValue` that says what was asked for.
 */
import { quote } from "../errors/quote.ts";
import { OpaqueValue, TensorRef, TreeDict, TreeList, type TreeValue } from "../manifest/checkpoint-tree.ts";
import { kindOf, listBytes } from "./container-opcodes.ts";
import { isDangerous } from "./dangerous-globals.ts";
import { decodeUtf8 } from "./decode-text.ts";
import { LIST_SHELL_BYTES, OBJECT_BYTES } from "./heap-costs.ts";
import { GlobalRef, globalKey, PendingValue, StatefulValue } from "./known-global.ts";
import type { PickleMachine } from "./pickle-machine.ts";
import { renamePython2 } from "./python2-names.ts";
import { readLine, takeLine } from "./text-line.ts";
import { buildTensor } from "./torch-parameter.ts";
import { isUnsettled, SkippedBytes } from "./unsettled.ts";

/** Heap of one argument that is copied. The tuple it comes from may be in the memo, so a copy costs the file five bytes. */
const ARGUMENT_BYTES = 12;

/** GLOBAL: a class or function, `module\nname\n`. */
export function global(m: PickleMachine): void {
  const [module, name] = readNames(m);
  m.push(globalOf(m, module, name));
}

function readNames(m: PickleMachine): [string, string] {
  const moduleBegin = m.at;
  const moduleEnd = takeLine(m);
  const nameBegin = m.at;
  const nameEnd = takeLine(m);
  return [decodeName(m, moduleBegin, moduleEnd), decodeName(m, nameBegin, nameEnd)];
}

function decodeName(m: PickleMachine, begin: number, end: number): string {
  const text = decodeUtf8(m.bytes, m.buffer, begin, end);
  if (text === null) throw m.refuse("RANKCAST_PICKLE_TEXT", "the name of a global is not UTF-8");
  return text;
}

/** STACK_GLOBAL: a class or function named by two texts of the stack. @throws {FormatError} RANKCAST_PICKLE_TARGET when they are none. */
export function stackGlobal(m: PickleMachine): void {
  const name = m.pop();
  const module = m.pop();
  if (typeof name !== "string" || typeof module !== "string") {
    throw m.refuse("RANKCAST_PICKLE_TARGET", `a global is named by two texts, not by ${kindOf(module)} and ${kindOf(name)}`);
  }
  m.push(globalOf(m, module, name));
}

/** The one object that stands for a global in this pickle. Names are compared only after the renames of Python 3. */
function globalOf(m: PickleMachine, writtenModule: string, writtenName: string): GlobalRef {
  const nameBytes = Math.max(writtenModule.length, writtenName.length);
  if (nameBytes > m.limits.pickleGlobalNameBytes) throw m.overLimit("pickleGlobalNameBytes", nameBytes);
  const [module, name] = renamePython2(writtenModule, writtenName);
  const key = globalKey(module, name);
  const known = m.globals.get(key);
  if (known !== undefined) return known;
  if (m.globals.size >= m.limits.pickleGlobals) throw m.overLimit("pickleGlobals", m.globals.size + 1);
  const made = new GlobalRef(module, name, m.options.globals.get(key), isDangerous(module, name));
  m.globals.set(key, made);
  return made;
}

/** REDUCE: stands for `callable(*args)`. @throws {FormatError} RANKCAST_PICKLE_TARGET, RANKCAST_PICKLE_CALL. */
export function reduce(m: PickleMachine): void {
  const args = popTuple(m);
  const callable = m.pop();
  if (m.options.nesting && callable instanceof GlobalRef && callable.known?.nested) {
    const bytes = args.elements[0];
    if (args.elements.length !== 1 || !(bytes instanceof Uint8Array || (bytes as unknown) instanceof SkippedBytes)) {
      throw m.refuse("RANKCAST_PICKLE_CALL", `${quote(callable.global)} takes bytes`);
    }
    m.nestedBytes = bytes as Uint8Array;
    m.state = "nested";
    return;
  }
  const made = pushCall(m, callable, args.elements);
  // Tensors hold nothing of the tuple itself; what is inert holds all of it.
  if (made instanceof TensorRef) releaseArguments(m, args);
}

/** Of the arguments of a tensor, sizes and strides stay, as bare arrays. */
function releaseArguments(m: PickleMachine, args: TreeList): void {
  if (args.kept) return;
  release(m, args);
  for (const element of args.elements) {
    if (element instanceof TreeList && element !== m.emptyTuple && !element.kept && element.type === "tuple") {
      element.kept = true;
      m.charge(-LIST_SHELL_BYTES);
    }
  }
}

/** Takes back what a tuple was charged, when nothing holds it any more. */
function release(m: PickleMachine, tuple: TreeValue): void {
  if (tuple instanceof TreeList && tuple !== m.emptyTuple && !tuple.kept) m.charge(-listBytes(tuple.elements.length));
}

function popTuple(m: PickleMachine): TreeList {
  const args = m.pop();
  if (args instanceof TreeList && args.type === "tuple") return args;
  throw m.refuse("RANKCAST_PICKLE_TARGET", `arguments are a tuple, not ${kindOf(args)}`);
}

/** Pushes what stands for `callable(*args)`. */
function pushCall(m: PickleMachine, callable: TreeValue, args: readonly TreeValue[]): TreeValue {
  if (!(callable instanceof OpaqueValue)) throw m.refuse("RANKCAST_PICKLE_TARGET", `${kindOf(callable)} cannot be called`);
  if (callable.dangerous) m.noteDangerousCall(callable.global);
  const made = callable instanceof GlobalRef && callable.known?.call ? callable.known.call(args, m) : opaqueCall(m, callable, args);
  if (made instanceof PendingValue && made.memoSlots.length === 0) m.openPending += 1;
  m.push(made);
  return made;
}

/** An unknown global gives an object of that name; calling an object (a bound method, say) keeps it as the first argument. */
function opaqueCall(m: PickleMachine, callable: OpaqueValue, args: readonly TreeValue[]): OpaqueValue {
  m.charge(OBJECT_BYTES);
  if (callable instanceof GlobalRef) return new OpaqueValue(callable.global, args, callable.dangerous);
  m.charge(ARGUMENT_BYTES * args.length);
  return new OpaqueValue(callable.global, [callable, ...args], callable.dangerous);
}

/** NEWOBJ: stands for `cls.__new__(cls, *args)`. */
export function newObj(m: PickleMachine): void {
  const args = popTuple(m);
  pushCall(m, popClass(m), args.elements);
}

/** NEWOBJ_EX: the same with keywords. No class we know takes any here, so they stay as the last argument of an inert object. @throws {FormatError} RANKCAST_PICKLE_TARGET. */
export function newObjEx(m: PickleMachine): void {
  const keywords = m.pop();
  const args = popTuple(m);
  const made = popClass(m);
  if (!(keywords instanceof TreeDict)) throw m.refuse("RANKCAST_PICKLE_TARGET", `keywords are a dict, not ${kindOf(keywords)}`);
  if (keywords.entries.size === 0) pushCall(m, made, args.elements);
  else {
    m.charge(ARGUMENT_BYTES * args.elements.length);
    m.push(opaqueCall(m, made, [...args.elements, keywords]));
  }
}

function popClass(m: PickleMachine): GlobalRef {
  const value = m.pop();
  if (value instanceof GlobalRef) return value;
  throw m.refuse("RANKCAST_PICKLE_TARGET", `${kindOf(value)} is no class`);
}

/** INST: a class by name, its arguments above the MARK. */
export function inst(m: PickleMachine): void {
  const [module, name] = readNames(m);
  const args = m.popToMark();
  pushCall(m, globalOf(m, module, name), args);
}

/** OBJ: class and arguments above the MARK. @throws {FormatError} RANKCAST_PICKLE_TARGET when there is no class. */
export function obj(m: PickleMachine): void {
  const [made, ...args] = m.popToMark();
  if (!(made instanceof GlobalRef)) throw m.refuse("RANKCAST_PICKLE_TARGET", "an object has no class");
  pushCall(m, made, args);
}

/** BUILD: the top value is the state of the object below. @throws {FormatError} RANKCAST_PICKLE_TARGET when that takes none. */
export function build(m: PickleMachine): void {
  const state = m.pop();
  const target = m.peek();
  if (target instanceof PendingValue) m.settlePending(target, target.build(state, m));
  else if (target instanceof StatefulValue) target.build(state, m);
  else if (target instanceof TreeDict) buildDict(m, target, state);
  else if (target instanceof TensorRef) buildTensor(target, state, m);
  else if (target instanceof OpaqueValue && !(target instanceof GlobalRef)) buildOpaque(m, target, state);
  else throw m.refuse("RANKCAST_PICKLE_TARGET", `${kindOf(target)} takes no state`);
}

/** Attributes of a dict are no keys of it: `_metadata` of a state dict comes this way. Slots join the attributes. */
function buildDict(m: PickleMachine, target: TreeDict, state: TreeValue): void {
  const parts = state instanceof TreeList && state.type === "tuple" && state.elements.length === 2 ? state.elements : [state];
  for (const part of parts) {
    if (part === null) continue;
    if (!(part instanceof TreeDict) || target.type === "dict") {
      throw m.refuse("RANKCAST_PICKLE_TARGET", `the state of a ${target.type} cannot be ${kindOf(part)}`);
    }
    target.attributes ??= new TreeDict();
    for (const [key, value] of part.entries) {
      m.charge(48);
      target.attributes.entries.set(key, value);
    }
  }
}

function buildOpaque(m: PickleMachine, target: OpaqueValue, state: TreeValue): void {
  if (target.state !== null) throw m.refuse("RANKCAST_PICKLE_TARGET", `${kindOf(target)} is given its state twice`);
  target.state = state;
}

/** PERSID: a persistent id in text. */
export function persId(m: PickleMachine): void {
  pushPersistent(m, readLine(m));
}

/** BINPERSID: the top value is a persistent id. */
export function binPersId(m: PickleMachine): void {
  pushPersistent(m, m.pop());
}

function pushPersistent(m: PickleMachine, id: TreeValue): void {
  const { persistentLoad } = m.options;
  if (persistentLoad === undefined) {
    throw m.refuse(
      "RANKCAST_PICKLE_PERSISTENT_ID",
      "the pickle refers to something outside of it, and this kind of file has no such things",
    );
  }
  m.persistentIds += 1;
  if (m.persistentIds > m.limits.persistentIds) throw m.overLimit("persistentIds", m.persistentIds);
  const value = persistentLoad(id, m);
  release(m, id);
  if (isUnsettled(value)) m.unsettled = true;
  m.push(value);
}

/** EXT1, EXT2, EXT4: the number means something only to the program that wrote it. @throws {FormatError} RANKCAST_PICKLE_OPCODE always. */
export function extension(m: PickleMachine): void {
  throw m.refuse("RANKCAST_PICKLE_OPCODE", "the pickle uses the extension registry of the program that wrote it");
}

/** NEXT_BUFFER: a buffer outside of the pickle. @throws {FormatError} RANKCAST_PICKLE_OPCODE always. */
export function nextBuffer(m: PickleMachine): void {
  throw m.refuse("RANKCAST_PICKLE_OPCODE", "the pickle's buffers are outside of it");
}

/** READONLY_BUFFER: read-only or not makes no difference to values that nobody writes. */
export function readonlyBuffer(m: PickleMachine): void {
  m.peek();
}
