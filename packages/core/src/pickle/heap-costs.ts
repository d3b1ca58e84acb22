/**
 * What values take on V8's heap, in bytes, garbage of growing tables included: measured on Node 20 (8-byte pointers) with a few million values of
 * each kind, rounded up. The sum is what `pickleValueRatio` and its floor bound, so a number that is too small is a hole in that bound;
 * `test/src/property/heap-bound.test.ts` measures again.
 */

/** A list, tuple or set without elements. */
export const LIST_BYTES = 88;
/** Storage of elements that is made at once and never grows, without the elements. */
export const FIXED_BYTES = 16;
/** An element of such a storage. */
export const FIXED_ELEMENT_BYTES = 8;
/** An element that is pushed: arrays grow by half, and the old ones, twice the last together, are large objects that wait for a full collection. */
export const ELEMENT_BYTES = 28;
/** A place of the machine's stack, which grows in the same way but is one and is there once. */
export const STACK_SLOT_BYTES = 20;
/** An array that grows by pushing gets room for 17 at once. */
export const FIRST_ELEMENT_BYTES = 152;
/** A dict nobody has looked into. */
export const DICT_BYTES = 64;
/** The table of a dict, made with its first entry. */
export const TABLE_BYTES = 190;
/** An entry of a table; tables double. */
export const ENTRY_BYTES = 64;
/** A pair of an object of an unknown class. */
export const PAIR_BYTES = 96;
/** An object of an unknown class without arguments. */
export const OBJECT_BYTES = 160;
/** A float, boxed. */
export const FLOAT_BYTES = 16;
/** An int that is a BigInt, without its digits. */
export const BIGINT_BYTES = 32;
/** A text without its characters. */
export const TEXT_BYTES = 24;
/** A `Uint8Array` with memory of its own, without its bytes. */
export const BYTES_BYTES = 216;
/** A tuple that is a key: the key, its parts and the text it is compared by. */
export const KEY_TUPLE_BYTES = 400;
/** A tensor without its storage. */
export const TENSOR_BYTES = 80;
/** What is said of a quantised tensor beside its layout. */
export const QUANTISED_BYTES = 128;
/** A storage; its place in the file is the container's. */
export const STORAGE_BYTES = 136;
/** A storage that shares what it has in common with others. */
export const LEAN_STORAGE_BYTES = 88;
/** The place of a storage that no container holds. */
export const PLACE_BYTES = 224;
/** The part of a sequence that is not its array of elements. */
export const LIST_SHELL_BYTES = 56;
