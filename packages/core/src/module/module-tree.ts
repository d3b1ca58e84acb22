/** A module tree laid out flat: every module once per path, in torch's order, wrappers looked through. */
import { UsageError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import type { Module } from "./module.ts";
import { structureEpoch } from "./structure-epoch.ts";
import type { TensorSlot } from "./tensor-slot.ts";

/** One key of the model's state dict. */
export interface LocalKey {
  readonly key: string;
  readonly slot: TensorSlot;
}

/** A module at one path. A module that is registered twice has two nodes. */
export interface ModuleNode {
  /** Never a wrapper. */
  readonly module: Module;
  readonly path: string;
  /** The path with a dot behind it; empty for the root. */
  readonly prefix: string;
  /** Children by name; null for children that are registered as absent. */
  readonly children: Map<string, ModuleNode | null>;
  /** Own keys: parameters, then persistent buffers, absent ones left out. */
  readonly locals: readonly LocalKey[];
  /** Index in `nodes` of the first node that is no descendant. */
  end: number;
}

/** The whole tree. */
export interface ModuleTree {
  readonly root: ModuleNode;
  /** Parents before children, children in order of registration. */
  readonly nodes: readonly ModuleNode[];
  /** Every key of the state dict, in its order. */
  readonly byKey: ReadonlyMap<string, LocalKey>;
  readonly epoch: number;
}

const TREES = new WeakMap<Module, ModuleTree>();

/**
 * The tree under `root`; kept until the structure of some module changes, because training loops load thousands of times.
 * @throws {UsageError} RANKCAST_MODULE_CYCLE when a module contains itself.
 */
export function moduleTree(root: Module): ModuleTree {
  const known = TREES.get(root);
  if (known && known.epoch === structureEpoch()) return known;
  const tree = buildTree(root);
  TREES.set(root, tree);
  return tree;
}

function buildTree(top: Module): ModuleTree {
  const nodes: ModuleNode[] = [];
  const byKey = new Map<string, LocalKey>();
  const open = new Set<Module>();
  // Explicit stack: a model made from a checkpoint is as deep as its keys have dots.
  const stack: { readonly node: ModuleNode; readonly rest: Iterator<[string, Module | null]> }[] = [];
  const enter = (module: Module, path: string): ModuleNode => {
    const node = makeNode(unwrap(module, path), path);
    if (open.has(node.module)) throw cycleAt(node.module, path);
    open.add(node.module);
    nodes.push(node);
    for (const local of node.locals) byKey.set(local.key, local);
    stack.push({ node, rest: node.module.ownChildren.entries() });
    return node;
  };
  const root = enter(top, "");
  for (let frame = stack.at(-1); frame; frame = stack.at(-1)) {
    const next = frame.rest.next();
    if (next.done) {
      frame.node.end = nodes.length;
      open.delete(frame.node.module);
      stack.pop();
      continue;
    }
    const [name, child] = next.value;
    const parent = frame.node;
    parent.children.set(name, child && enter(child, parent.prefix + name));
  }
  return { root, nodes, byKey, epoch: structureEpoch() };
}

function makeNode(module: Module, path: string): ModuleNode {
  const prefix = path === "" ? "" : `${path}.`;
  const locals: LocalKey[] = [];
  for (const [name, slot] of module.ownParameters) if (slot) locals.push({ key: prefix + name, slot });
  for (const [name, slot] of module.ownBuffers) if (slot?.persistent) locals.push({ key: prefix + name, slot });
  return { module, path, prefix, children: new Map(), locals, end: 0 };
}

/** Looks through wrappers around wrappers, by what each says of itself and never by what its children are (semantics G7). */
function unwrap(module: Module, path: string): Module {
  const seen = new Set<Module>();
  let current = module;
  for (let inner = current.unwrapped(); inner !== current; inner = current.unwrapped()) {
    if (seen.has(current)) throw cycleAt(current, path);
    seen.add(current);
    current = inner;
  }
  return current;
}

function cycleAt(module: Module, path: string): UsageError {
  return new UsageError("RANKCAST_MODULE_CYCLE", `${module.typeName} contains itself, found at ${quote(path)}`, { details: { path } });
}
