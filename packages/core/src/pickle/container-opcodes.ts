/** Opcodes that make and fill lists, tuples, dicts and sets. */
import { quote } from "../errors/quote.ts";
import { OpaqueValue, TreeDict, TreeList, type TreeValue } from "../manifest/checkpoint-tree.ts";
import { DICT_BYTES, ELEMENT_BYTES, FIRST_ELEMENT_BYTES, FIXED_BYTES, FIXED_ELEMENT_BYTES, LIST_BYTES, PAIR_BYTES } from "./heap-costs.ts";
import { GlobalRef } from "./known-global.ts";
import type { PickleMachine } from "./pickle-machine.ts";

/** EMPTY_LIST: pushes `[]`. */
export function emptyList(m: PickleMachine): void {
  m.charge(LIST_BYTES);
  m.push(new TreeList("list"));
}

/** EMPTY_TUPLE: pushes `()`; one object is enough, nothing can be put into it. */
export function emptyTuple(m: PickleMachine): void {
  m.push(m.emptyTuple);
}

/** EMPTY_DICT: pushes `{}`. */
export function emptyDict(m: PickleMachine): void {
  m.charge(DICT_BYTES);
  m.push(new TreeDict());
}

/** EMPTY_SET: pushes `set()`. */
export function emptySet(m: PickleMachine): void {
  m.charge(LIST_BYTES);
  m.push(new TreeList("set"));
}

/** LIST: everything above the MARK becomes a list. */
export function list(m: PickleMachine): void {
  pushMarked(m, "list");
}

/** TUPLE: everything above the MARK becomes a tuple. */
export function tuple(m: PickleMachine): void {
  pushMarked(m, "tuple");
}

/** FROZENSET: everything above the MARK becomes a frozenset. */
export function frozenSet(m: PickleMachine): void {
  refuseUnhashable(m, m.floor);
  pushMarked(m, "frozenset");
}

/** Heap of a sequence that is made with its elements. */
export function listBytes(length: number): number {
  return LIST_BYTES + FIXED_BYTES + FIXED_ELEMENT_BYTES * length;
}

function pushMarked(m: PickleMachine, type: TreeList["type"]): void {
  const elements = m.popToMark();
  m.charge(listBytes(elements.length));
  m.push(new TreeList(type, elements));
}

/** TUPLE1: the top value becomes a tuple. */
export function tuple1(m: PickleMachine): void {
  const first = m.pop();
  m.charge(listBytes(1));
  m.push(new TreeList("tuple", [first]));
}

/** TUPLE2: the two top values become a tuple. */
export function tuple2(m: PickleMachine): void {
  const second = m.pop();
  const first = m.pop();
  m.charge(listBytes(2));
  m.push(new TreeList("tuple", [first, second]));
}

/** TUPLE3: the three top values become a tuple. */
export function tuple3(m: PickleMachine): void {
  const third = m.pop();
  const second = m.pop();
  const first = m.pop();
  m.charge(listBytes(3));
  m.push(new TreeList("tuple", [first, second, third]));
}

/** DICT: pairs above the MARK become a dict. */
export function dict(m: PickleMachine): void {
  const begin = m.closeMark();
  const made = new TreeDict();
  m.charge(DICT_BYTES);
  setPairs(m, made, begin);
  m.top = begin;
  m.push(made);
}

/** SETITEM: key and value on top go into the dict below. */
export function setItem(m: PickleMachine): void {
  const value = m.pop();
  const key = m.pop();
  const target = m.peek();
  if (target instanceof TreeDict) m.keys.set(target, key, value);
  else setOpaque(m, target, key, value);
}

/** SETITEMS: pairs above the MARK go into the dict below it. @throws {FormatError} RANKCAST_PICKLE_STACK when there is no dict. */
export function setItems(m: PickleMachine): void {
  const begin = m.closeMark();
  if (begin <= m.floor) throw m.refuse("RANKCAST_PICKLE_STACK", "there is nothing below the MARK");
  setPairs(m, m.stack[begin - 1] as TreeValue, begin);
  m.top = begin;
}

function setPairs(m: PickleMachine, target: TreeValue, begin: number): void {
  const { stack, top } = m;
  if ((top - begin) % 2 !== 0) throw m.refuse("RANKCAST_PICKLE_STACK", "a key has no value");
  const isDict = target instanceof TreeDict;
  for (let at = begin; at < top; at += 2) {
    const key = stack[at] as TreeValue;
    const value = stack[at + 1] as TreeValue;
    if (isDict) m.keys.set(target, key, value);
    else setOpaque(m, target, key, value);
  }
}

/** Objects of unknown classes may be dict subclasses: their pairs are kept as pairs, no key is looked at. */
function setOpaque(m: PickleMachine, target: TreeValue, key: TreeValue, value: TreeValue): void {
  if (!isFillable(target)) throw m.refuse("RANKCAST_PICKLE_TARGET", `${kindOf(target)} takes no items`);
  m.charge(target.entries.length === 0 ? PAIR_BYTES + FIRST_ELEMENT_BYTES : PAIR_BYTES);
  target.entries.push([key, value]);
}

/** APPEND: the top value goes into the list below. */
export function append(m: PickleMachine): void {
  const value = m.pop();
  const elements = elementsOf(m, m.peek());
  m.charge(elements.length === 0 ? FIRST_ELEMENT_BYTES : ELEMENT_BYTES);
  elements.push(value);
}

/** APPENDS: everything above the MARK goes into the list below it. */
export function appends(m: PickleMachine): void {
  addElements(m, elementsOf);
}

/** ADDITEMS: everything above the MARK goes into the set below it. */
export function addItems(m: PickleMachine): void {
  refuseUnhashable(m, m.floor);
  addElements(m, membersOf);
}

function addElements(m: PickleMachine, take: (m: PickleMachine, target: TreeValue) => TreeValue[]): void {
  const begin = m.closeMark();
  if (begin <= m.floor) throw m.refuse("RANKCAST_PICKLE_STACK", "there is nothing below the MARK");
  const elements = take(m, m.stack[begin - 1] as TreeValue);
  if (m.top > begin) m.charge((elements.length === 0 ? FIRST_ELEMENT_BYTES : 0) + ELEMENT_BYTES * (m.top - begin));
  for (let at = begin; at < m.top; at += 1) elements.push(m.stack[at] as TreeValue);
  m.top = begin;
}

function elementsOf(m: PickleMachine, target: TreeValue): TreeValue[] {
  if (target instanceof TreeList && (target.type === "list" || target.type === "deque")) return target.elements;
  if (isFillable(target)) return target.elements;
  throw m.refuse("RANKCAST_PICKLE_TARGET", `nothing can be appended to ${kindOf(target)}`);
}

function membersOf(m: PickleMachine, target: TreeValue): TreeValue[] {
  if (target instanceof TreeList && target.type === "set") return target.elements;
  if (isFillable(target)) return target.elements;
  throw m.refuse("RANKCAST_PICKLE_TARGET", `nothing can be added to ${kindOf(target)}`);
}

/** Members of sets are not hashed here, so they are only checked for what Python could never hash. */
function refuseUnhashable(m: PickleMachine, begin: number): void {
  for (let at = begin; at < m.top; at += 1) {
    const member = m.stack[at];
    if (member instanceof TreeDict || (member instanceof TreeList && !HASHABLE_LISTS.has(member.type))) {
      throw m.refuse("RANKCAST_PICKLE_KEY", `a ${kindOf(member)} cannot be in a set`);
    }
  }
}

const HASHABLE_LISTS: ReadonlySet<string> = new Set(["tuple", "frozenset", "Size"]);

/** Whether items may be put into `target`: an object, not a class. */
function isFillable(target: TreeValue): target is OpaqueValue {
  return target instanceof OpaqueValue && !(target instanceof GlobalRef);
}

/** What a value is, for messages. */
export function kindOf(value: TreeValue): string {
  if (value === null) return "None";
  if (value instanceof TreeList || value instanceof TreeDict) return value.type;
  if (value instanceof OpaqueValue) return quote(value.global);
  return typeof value === "object" ? ((value as { readonly kind?: string }).kind ?? "bytes") : typeof value;
}
