/** A decoded checkpoint as flat lists: tensors, plain values and opaque values by dotted name. */
import { FormatError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import type { LimitName, Limits } from "../limits/limits.ts";
import type { ModuleMetadata } from "../tensor/state-dict.ts";
import { OpaqueValue, SparseRef, StorageRef, TensorRef, TreeDict, type TreeValue, type Warning } from "./checkpoint-tree.ts";
import { isExtraStateKey } from "./extra-state.ts";
import { isFlatDict } from "./flat-dict.ts";
import { FlatTensors } from "./flat-tensors.ts";
import type { OpaqueDescriptor, PlainValue } from "./manifest.ts";
import { moduleMetadata } from "./module-metadata.ts";
import { DangerousCalls } from "./opaque-content.ts";
import { toPlainValue } from "./plain-value.ts";
import { childPath } from "./tree-path.ts";
import { asContainer, type Branch, type Container, surveyBytes, surveyTree, type TreeSurvey } from "./tree-survey.ts";

/** What a checkpoint holds, in its own order. */
export interface FlatTree {
  readonly tensors: FlatTensors;
  /** Whether no two tensors can have one name, without a look at the names. */
  readonly distinct: boolean;
  readonly nontensor: readonly (readonly [string, PlainValue])[];
  /** What a state dict holds beside tensors; empty unless the tree is one. */
  readonly extraState: readonly (readonly [string, TreeValue])[];
  readonly opaque: readonly OpaqueDescriptor[];
  readonly metadataModules: readonly (readonly [string, ModuleMetadata])[];
  readonly warnings: readonly Warning[];
}

/** How to flatten. */
export interface FlattenOptions {
  readonly limits: Limits;
  /** `skip` lists what is in a cycle once and warns; `refuse` is for state dicts, where a cycle is a mistake. Default `skip`. */
  readonly cycles?: "skip" | "refuse";
  /** The tree is a state dict: what in it is no tensor is listed as `extraState`. Default false. */
  readonly stateDict?: boolean;
  /** Name of the checkpoint, for messages. */
  readonly where?: string;
  /** Size of its files, for `treeHeapRatio`. Without it walking and listing are not bounded by it. */
  readonly fileBytes?: number;
  /** Heap that decoding took; what it left is the listing's. */
  readonly heapBytes?: number;
}

/**
 * Names: keys and positions joined with dots; a tensor that is the root has the empty name; sparse tensors are listed by their parts;
 * a pickled module counts as its state dict; nothing inside other opaque objects is listed, nor are bare storages.
 *
 * Iterative and linear in what is listed; shared containers are written out at each place only as far as `treeRepeatedValues` allows.
 * @throws {FormatError} RANKCAST_LIMIT for depth, number of tensors, repeated values, names; RANKCAST_TREE_CYCLE when cycles are refused.
 */
export function flattenTree(root: TreeValue, options: FlattenOptions): FlatTree {
  const where = options.where ?? "checkpoint";
  const listing = new Listing(options.limits, where, heapBounds(options));
  const container = asContainer(root);
  if (!container) {
    listing.addLeaf(null, root);
    return listing;
  }
  // Where limits allow no container or no value at all, the survey says so.
  if (options.stateDict && isFlatDict(root) && options.limits.treeDepth > 0 && options.limits.treeRepeatedValues > 0) {
    listing.addDict(root);
    return listing;
  }
  const survey = surveyTree(container, options.limits, where, (nbytes) => listing.charge(nbytes));
  listing.tensors = new FlatTensors(survey.tensors);
  // Keys of one dict differ; what is nested can spell another's name, and parts of sparse tensors can.
  listing.distinct = survey.branches.size === 1 && container instanceof TreeDict && (options.stateDict ?? false);
  // Extra state leaves a state dict as it is, whatever its shape; only a listing cannot show a cycle.
  const cycles = options.stateDict ? survey.cycles : [...survey.cycles, ...survey.extraCycles];
  if (cycles.length > 0) listing.noteCycles(cycles, options.cycles ?? "skip");
  walk(container, survey, listing, {
    repeat: mayRepeat(survey, container, listing, options.limits),
    stateDict: options.stateDict ?? false,
  });
  return listing;
}

/** Whether containers without tensors may be written out at every place they occur. */
function mayRepeat({ branches, distinct }: TreeSurvey, root: Container, listing: Listing, limits: Limits): boolean {
  const branch = branches.get(root);
  if (!branch || branch.listed - distinct <= limits.treeRepeatedValues) return true;
  listing.enforce("treeRepeatedValues", branch.listedForTensors - distinct, "values of shared containers that hold tensors");
  listing.warn("shared-values-listed-once", "plain values that are shared by many containers are listed at the first place only");
  return false;
}

interface Frame {
  readonly branch: Branch;
  readonly path: string | null;
  readonly module: boolean;
  /** Inside extra state. */
  readonly extra: boolean;
  at: number;
}

interface WalkOptions {
  /** Shared containers without tensors are listed at each place. */
  readonly repeat: boolean;
  readonly stateDict: boolean;
}

function walk(root: Container, { branches }: TreeSurvey, listing: Listing, { repeat, stateDict }: WalkOptions): void {
  const stack: Frame[] = [];
  const seen = new Set<Container>();
  const enter = (container: Container, path: string | null, insideModule: boolean, extra: boolean): void => {
    const branch = branches.get(container);
    if (!branch || (!repeat && !branch.tensors && seen.has(container))) return;
    if (!repeat) seen.add(container);
    const module = container instanceof OpaqueValue;
    // A model is one object of an unknown class to the reader of a report, not one per layer.
    if (module && !insideModule) listing.addOpaque(path, container);
    if (container instanceof TreeDict) listing.addMetadata(path, container);
    stack.push({ branch, path, module, extra, at: 0 });
  };
  const isBeside = (container: Container | null, frame: Frame): boolean =>
    frame.path === null && !frame.module && !(container && branches.get(container)?.tensors);
  enter(root, null, false, false);
  for (let frame = stack.at(-1); frame; frame = stack.at(-1)) {
    const { branch, at } = frame;
    if (at === branch.values.length) {
      stack.pop();
      continue;
    }
    frame.at += 1;
    if (branch.cut?.has(at)) continue;
    const value = branch.values[at] ?? null;
    const key = branch.keys?.[at] ?? String(at);
    const isLeaf = typeof value !== "object" || value === null;
    const container = isLeaf ? null : asContainer(value);
    const isTensor = value instanceof TensorRef;
    const extra = frame.extra || (stateDict && !isTensor && isExtraStateKey(key));
    if (stateDict && !isTensor && !frame.extra) {
      if (extra) listing.addExtraState(childPath(frame.path, key), value);
      else if (isBeside(container, frame) && !(value instanceof SparseRef)) listing.addExtraState(key, value);
    }
    if (listing.isFull && isLeaf) continue;
    const path = childPath(frame.path, key);
    if (container) enter(container, path, frame.module, extra);
    else listing.addLeaf(path, value, extra);
  }
}

/** Heap of one row with its name, without the name's characters. */
const ROW_BYTES = 136;

/** Of a tensor: its description, its storage's, and their places in lists. */
const TENSOR_ROW_BYTES = 176;
/** The same where the storage describes itself. */
const LEAN_ROW_BYTES = 116;

interface HeapBounds {
  readonly heapBytesMax: number;
  readonly fileBytes: number;
  /** From here on plain values are not listed. */
  readonly plainBytesMax: number;
}

/** What walking and listing may take: their own share, and what decoding left of its. */
function heapBounds({ limits, fileBytes = Number.POSITIVE_INFINITY, heapBytes = 0 }: FlattenOptions): HeapBounds {
  const decoded = limits.pickleValueBytesFloor + limits.pickleValueRatio * fileBytes;
  const own = limits.treeHeapBytesFloor + limits.treeHeapRatio * fileBytes;
  return { heapBytesMax: own + Math.max(decoded - heapBytes, 0), fileBytes, plainBytesMax: own };
}

class Listing implements FlatTree {
  tensors: FlatTensors = new FlatTensors();
  readonly nontensor: [string, PlainValue][] = [];
  readonly extraState: [string, TreeValue][] = [];
  readonly opaque: OpaqueDescriptor[] = [];
  readonly metadataModules: [string, ModuleMetadata][] = [];
  readonly warnings: Warning[] = [];
  readonly #limits: Limits;
  readonly #where: string;
  readonly #dangerous = new DangerousCalls();
  readonly #heapBytesMax: number;
  readonly #plainBytesMax: number;
  readonly #fileBytes: number;
  #namesBytes = 0;
  #heapBytes = 0;
  /** No more plain values are listed. */
  isFull = false;
  distinct = false;

  constructor(limits: Limits, where: string, { heapBytesMax, plainBytesMax, fileBytes }: HeapBounds) {
    this.#fileBytes = fileBytes;
    this.#limits = limits;
    this.#where = where;
    this.#heapBytesMax = heapBytesMax;
    this.#plainBytesMax = plainBytesMax;
  }

  /** Counts estimated heap of walking and listing. @throws {FormatError} RANKCAST_LIMIT. */
  charge(nbytes: number): void {
    this.#heapBytes += nbytes;
    if (this.#heapBytes <= this.#heapBytesMax) return;
    const { treeHeapRatio: ratio } = this.#limits;
    const found = this.#heapBytes;
    // How much more there is to list is not known.
    const raiseTo = (2 * found) / Math.max(this.#fileBytes, 1);
    const text = `its containers take more to list than treeHeapRatio = ${ratio} allows`;
    throw new FormatError("RANKCAST_LIMIT", `${printable(this.#where)}: ${text}`, {
      details: { file: this.#where, limit: "treeHeapRatio", allowed: this.#heapBytesMax, found, raiseTo },
    });
  }

  /** Plain values are worth a line each, but not memory without bound: the tree itself still has them. */
  #addPlain(path: string | null, plain: PlainValue): void {
    const nbytes = ROW_BYTES + (path?.length ?? 0);
    if (this.#heapBytes + nbytes <= this.#plainBytesMax) {
      this.charge(nbytes);
      this.nontensor.push([this.#named(path ?? ""), plain]);
    } else if (!this.isFull) {
      this.isFull = true;
      this.warn("plain-values-unlisted", `plain values from ${printable(path ?? "")} on are too many to be listed`);
    }
  }

  /** @throws {FormatError} RANKCAST_LIMIT, naming the checkpoint. */
  enforce(limit: LimitName, found: number, what: string): void {
    if (found > this.#limits[limit]) enforceLimit(this.#limits, limit, found, { file: this.#where, what });
  }

  addExtraState(path: string, value: TreeValue): void {
    this.charge(ROW_BYTES + path.length);
    this.extraState.push([this.#named(path), value]);
  }

  /** Adds a dict that is nothing but tensors by name; charged as a survey of it is. */
  addDict(dict: TreeDict): void {
    this.charge(surveyBytes(dict.size));
    this.tensors = new FlatTensors(dict.size);
    this.distinct = true;
    this.addMetadata(null, dict);
    dict.entries.forEach((ref, name) => {
      this.#addTensor(name as string, ref as TensorRef, false);
    });
  }

  addLeaf(path: string | null, value: TreeValue, extra = false): void {
    if (value instanceof TensorRef) this.#addTensor(path ?? "", value, extra);
    else if (value instanceof SparseRef) {
      this.distinct = false;
      for (const [part, ref] of value.parts) this.#addTensor(childPath(path, part), ref, extra);
    } else if (value instanceof OpaqueValue) this.addOpaque(path, value);
    else if (!(value instanceof StorageRef)) {
      const plain = toPlainValue(value);
      if (plain !== undefined) this.#addPlain(path, plain);
    }
  }

  #addTensor(name: string, ref: TensorRef, extra: boolean): void {
    // By their names: a table of limits asked for a name that varies is the slowest step here, and this runs once per tensor.
    if (name.length > this.#limits.tensorNameBytes) this.enforce("tensorNameBytes", name.length, "a tensor's name");
    this.charge(ref.storage.makesPieces ? LEAN_ROW_BYTES : TENSOR_ROW_BYTES);
    this.tensors.add(this.#named(name), ref, extra);
    if (this.tensors.length > this.#limits.tensors) this.enforce("tensors", this.tensors.length, "tensors of the checkpoint");
  }

  addOpaque(path: string | null, value: OpaqueValue): void {
    this.charge(ROW_BYTES + (path?.length ?? 0));
    const name = this.#named(path ?? "");
    this.opaque.push({ path: name, global: value.global, dangerous: value.dangerous });
    for (const global of this.#dangerous.inside(value)) this.opaque.push({ path: name, global, dangerous: true });
  }

  addMetadata(path: string | null, dict: TreeDict): void {
    for (const [module, metadata] of moduleMetadata(dict)) {
      const name = module === "" ? (path ?? "") : childPath(path, module);
      this.metadataModules.push([this.#named(name), metadata]);
    }
  }

  warn(code: string, message: string): void {
    this.warnings.push({ code, message });
  }

  noteCycles(paths: readonly string[], cycles: "skip" | "refuse"): void {
    const where = printable(paths[0] ?? "");
    if (cycles === "skip") this.warn("cycle-skipped", `${where} leads back to a container it is in; listed once`);
    else {
      throw new FormatError("RANKCAST_TREE_CYCLE", `${printable(this.#where)}: ${where} leads back to a container it is in`, {
        details: { file: this.#where, path: paths[0] ?? "", paths },
      });
    }
  }

  /** Bounds the sum of all names: one long key above many tensors would otherwise be written out for each. */
  #named(name: string): string {
    this.#namesBytes += name.length;
    if (this.#namesBytes > this.#limits.treeNamesBytes) this.enforce("treeNamesBytes", this.#namesBytes, "dotted names of the checkpoint");
    return name;
  }
}
