/**
 * First pass over a decoded checkpoint: what each container holds, how often values would be listed, where cycles close. Containers may be
 * shared and may contain themselves (both are legal in pickles), so each is visited once and walkers afterwards follow the result.
 */
import { FormatError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import type { Limits } from "../limits/limits.ts";
import { type OpaqueValue, SparseRef, TensorRef, TreeDict, TreeList, type TreeValue } from "./checkpoint-tree.ts";
import { isExtraStateKey } from "./extra-state.ts";
import { isPickledModule, moduleChildren } from "./pickled-module.ts";
import { childPath, keyText } from "./tree-path.ts";

/** Something that is walked into. */
export type Container = TreeDict | TreeList | OpaqueValue;

/** What is known about one container. */
export interface Branch {
  /** Segment of each child; null for positions. */
  readonly keys: readonly string[] | null;
  readonly values: readonly TreeValue[];
  /** Whether a tensor lies below. */
  tensors: boolean;
  /** Values below when every shared container is written out, this one included. */
  listed: number;
  /** The same when containers without tensors count as one value. */
  listedForTensors: number;
  /** Longest chain of containers from here down. */
  height: number;
  /** Children that lead back to a container they are in; walkers must skip them. */
  cut: Set<number> | null;
  done: boolean;
}

/** The whole tree as seen once. */
export interface TreeSurvey {
  readonly branches: ReadonlyMap<Container, Branch>;
  /** Values in all containers, each container counted once. */
  readonly distinct: number;
  /** Tensors among them. */
  readonly tensors: number;
  /** Dotted paths at which a container would hold itself; the first few. */
  readonly cycles: readonly string[];
  /** The same inside extra state of modules. */
  readonly extraCycles: readonly string[];
}

const CYCLES_NAMED_MAX = 10;
/** Heap of what is known about one container, and of a copied key and value. */
const BRANCH_BYTES = 240;
const CHILD_BYTES = 16;

/** Heap of what is known about a container of which `children` keys and values are copied. */
export function surveyBytes(children: number): number {
  return BRANCH_BYTES + CHILD_BYTES * children;
}

/** `value` when it is walked into, else null. */
export function asContainer(value: TreeValue): Container | null {
  return value instanceof TreeDict || value instanceof TreeList || isPickledModule(value) ? value : null;
}

/**
 * Visits everything reachable from `root` once. Iterative; linear in the size of the decoded values.
 * @throws {FormatError} RANKCAST_LIMIT when containers are nested deeper than `treeDepth`.
 */
export function surveyTree(
  root: Container,
  limits: Pick<Limits, "treeDepth">,
  where: string,
  charge: (nbytes: number) => void = () => undefined,
): TreeSurvey {
  const branches = new Map<Container, Branch>();
  const cycles: string[] = [];
  const extraCycles: string[] = [];
  let distinct = 0;
  let tensors = 0;
  const open = (container: Container): Frame => {
    const branch = openBranch(container);
    charge(surveyBytes(branch.keys === null ? 0 : branch.values.length));
    branches.set(container, branch);
    distinct += branch.values.length;
    return { branch, at: 0 };
  };
  const stack: Frame[] = [open(root)];
  for (let frame = stack.at(-1); frame; frame = stack.at(-1)) {
    const { branch, at } = frame;
    if (at === branch.values.length) {
      close(branch, limits, where);
      stack.pop();
      const parent = stack.at(-1);
      if (parent) absorb(parent.branch, branch);
      continue;
    }
    frame.at += 1;
    const value = branch.values[at] ?? null;
    const container = asContainer(value);
    const known = container ? branches.get(container) : undefined;
    if (!container) {
      if (absorbLeaf(branch, value)) tensors += 1;
    } else if (!known) {
      // Each container on the stack is in the one before it: a chain this long is refused before what is deeper costs anything.
      if (stack.length >= limits.treeDepth) refuseDepth(stack.length + 1, limits, where);
      stack.push(open(container));
    } else if (known.done) absorb(branch, known);
    else {
      branch.cut ??= new Set();
      branch.cut.add(at);
      const found = isInExtraState(stack) ? extraCycles : cycles;
      if (found.length < CYCLES_NAMED_MAX) found.push(pathOf(stack));
    }
  }
  return { branches, distinct, tensors, cycles, extraCycles };
}

interface Frame {
  readonly branch: Branch;
  at: number;
}

function openBranch(container: Container): Branch {
  return { ...childrenOf(container), tensors: false, listed: 1, listedForTensors: 1, height: 1, cut: null, done: false };
}

function childrenOf(container: Container): Pick<Branch, "keys" | "values"> {
  if (container instanceof TreeList) return { keys: null, values: container.elements };
  return container instanceof TreeDict ? dictChildren(container) : moduleChildren(container);
}

/** By index into arrays of the right size: those that grow take half as much again, and leave as much behind. */
function dictChildren({ entries, size }: TreeDict): Pick<Branch, "keys" | "values"> {
  const keys = new Array<string>(size);
  const values = new Array<TreeValue>(size);
  let at = 0;
  entries.forEach((value, key) => {
    keys[at] = typeof key === "string" ? key : keyText(key);
    values[at] = value;
    at += 1;
  });
  return { keys, values };
}

/** Whether the leaf is a tensor. */
function absorbLeaf(branch: Branch, value: TreeValue): boolean {
  branch.listed += 1;
  branch.listedForTensors += 1;
  const isTensor = value instanceof TensorRef || value instanceof SparseRef;
  if (isTensor) branch.tensors = true;
  return isTensor;
}

// Counts may reach 2^1000 and then infinity; they are only compared.
function absorb(branch: Branch, child: Branch): void {
  branch.tensors ||= child.tensors;
  branch.listed += child.listed;
  branch.listedForTensors += child.tensors ? child.listedForTensors : 1;
  branch.height = Math.max(branch.height, child.height + 1);
}

function close(branch: Branch, limits: Pick<Limits, "treeDepth">, where: string): void {
  branch.done = true;
  if (branch.height > limits.treeDepth) refuseDepth(branch.height, limits, where);
}

function refuseDepth(found: number, limits: Pick<Limits, "treeDepth">, where: string): never {
  throw new FormatError(
    "RANKCAST_LIMIT",
    `${printable(where)}: containers are nested deeper than the limit treeDepth = ${limits.treeDepth}`,
    {
      details: { file: where, limit: "treeDepth", allowed: limits.treeDepth, found },
    },
  );
}

function isInExtraState(stack: readonly Frame[]): boolean {
  return stack.some(({ branch, at }) => isExtraStateKey(branch.keys?.[at - 1] ?? ""));
}

function pathOf(stack: readonly Frame[]): string {
  return stack.reduce<string | null>((path, { branch, at }) => childPath(path, branch.keys?.[at - 1] ?? String(at - 1)), null) ?? "";
}
