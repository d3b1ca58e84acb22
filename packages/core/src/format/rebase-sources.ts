/** Trees of several files joined into one: each tree counts its sources from 0, the joined one counts them all. */
import {
  OpaqueValue,
  type SourceMove,
  SparseRef,
  StorageRef,
  TensorRef,
  TreeDict,
  type TreeKey,
  TreeList,
  type TreeValue,
} from "../manifest/checkpoint-tree.ts";
import { movePiece } from "../manifest/storage-ref.ts";
import { ELEMENT_BYTES, ENTRY_BYTES } from "../pickle/heap-costs.ts";

/**
 * A copy of `root`, charged as heap, whose storages have their pieces moved. What was one object stays one object, so aliases and cycles survive. Not recursive.
 */
export function rebaseSources(root: TreeValue, move: SourceMove, charge: (nbytes: number) => void): TreeValue {
  return new Rebase(move, charge).run(root);
}

/** An object and its place among the copies; a storage is the largest, with its piece. */
const COPY_BYTES = 200;

type Node = Exclude<TreeValue, null | boolean | number | bigint | string | Uint8Array>;

class Rebase {
  readonly #move: SourceMove;
  readonly #charge: (nbytes: number) => void;
  readonly #copies = new Map<object, TreeValue>();
  /** Copies whose content is still to be filled. */
  readonly #open: (() => void)[] = [];

  constructor(move: SourceMove, charge: (nbytes: number) => void) {
    this.#move = move;
    this.#charge = charge;
  }

  run(root: TreeValue): TreeValue {
    const copy = this.#copy(root);
    for (let fill = this.#open.pop(); fill !== undefined; fill = this.#open.pop()) fill();
    return copy;
  }

  #copy(value: TreeValue): TreeValue {
    if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value;
    const known = this.#copies.get(value);
    if (known !== undefined) return known;
    this.#charge(COPY_BYTES);
    const copy = this.#shell(value);
    this.#copies.set(value, copy);
    return copy;
  }

  /** The copy of a leaf, or an empty copy of a container that is filled later: its content may refer back to it. */
  #shell(value: Node): TreeValue {
    if (value instanceof StorageRef) return this.#storage(value);
    if (value instanceof TensorRef) return this.#tensor(value);
    if (value instanceof SparseRef) return this.#sparse(value);
    if (value instanceof TreeDict) return this.#dict(value);
    if (value instanceof TreeList) return this.#list(value);
    return value instanceof OpaqueValue ? this.#opaque(value) : value;
  }

  #storage(from: StorageRef): StorageRef {
    const { nbytes, swapBytes, savedDevice, meta, key } = from;
    return new StorageRef({ nbytes, swapBytes, savedDevice, meta, key, pieces: from.pieces.map((piece) => movePiece(piece, this.#move)) });
  }

  #tensor(from: TensorRef): TensorRef {
    const { quantisation } = from;
    const scaled = quantisation && {
      ...quantisation,
      scale: this.#copy(quantisation.scale) as number | TensorRef,
      zeroPoint: this.#copy(quantisation.zeroPoint) as number | TensorRef,
    };
    return from.with({ storage: this.#copy(from.storage) as StorageRef, quantisation: scaled });
  }

  #sparse(from: SparseRef): SparseRef {
    const parts = new Map([...from.parts].map(([name, part]) => [name, this.#copy(part) as TensorRef]));
    return new SparseRef(from.layout, from.shape, parts, from.coalesced);
  }

  #dict(from: TreeDict): TreeDict {
    const copy = new TreeDict(from.type);
    this.#open.push(() => {
      this.#charge(ENTRY_BYTES * from.size);
      for (const [key, value] of from.entries) copy.entries.set(this.#key(key), this.#copy(value));
      copy.attributes = from.attributes && (this.#copy(from.attributes) as TreeDict);
    });
    return copy;
  }

  #list(from: TreeList): TreeList {
    const copy = new TreeList(from.type);
    this.#open.push(() => {
      this.#charge(ELEMENT_BYTES * from.elements.length);
      for (const value of from.elements) copy.elements.push(this.#copy(value));
    });
    return copy;
  }

  #opaque(from: OpaqueValue): OpaqueValue {
    const args: TreeValue[] = [];
    const copy = new OpaqueValue(from.global, args, from.dangerous);
    this.#open.push(() => {
      for (const value of from.args) args.push(this.#copy(value));
      copy.state = this.#copy(from.state);
      for (const [key, value] of from.entries) copy.entries.push([this.#copy(key), this.#copy(value)]);
      for (const value of from.elements) copy.elements.push(this.#copy(value));
    });
    return copy;
  }

  /** Objects may be keys, and then the key is their copy, too. */
  #key(key: TreeKey): TreeKey {
    return this.#copy(key as TreeValue) as TreeKey;
  }
}
