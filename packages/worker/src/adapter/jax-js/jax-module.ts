/** A parameter tree of jax-js as a module. */
import { type DType, ForeignParameter, type ForeignTensor, Tensor, type TensorArray, UsageError } from "@rankcast/core";
import { KeyedModule, quote } from "@rankcast/core/runtime";
import { registerBatchCounter } from "../batch-counter.ts";
import { isJaxArray, type JaxArray, type JaxTree, jaxArray } from "./jax-library.ts";

/** A part of a tree that can be replaced. */
type Branch = Record<string, unknown>;

/**
 * A tree of arrays under its paths: `{ fc: { weight, bias } }` is `fc.weight` and `fc.bias`. Loads replace the arrays in the tree and dispose
 * those that were there; take `.ref` of an array before using it, as everywhere in jax-js. An optimiser's new tree is put in with `params`.
 * Shapes and order are the tree's own: write the model with torch's, or transpose where it is used.
 */
export class JaxModule<Tree extends JaxTree = JaxTree> extends KeyedModule {
  #params: Tree;

  /** @throws {UsageError} RANKCAST_ADAPTER_LAYER when a leaf is no array. */
  constructor(params: Tree) {
    super("JaxModule");
    this.#params = params;
    for (const { path, array } of leavesOf(params)) {
      const key = path.join(".");
      const [owner, name] = this.ownerOf(key);
      const foreign = new JaxLeaf(() => this.#params, path, array);
      owner.registerParameter(name, new ForeignParameter(foreign, { requiresGrad: array.dtype.startsWith("float") }));
      if (name === "running_var") registerBatchCounter(this, key.slice(0, -name.length - 1));
    }
  }

  /** The tree as it is now. */
  get params(): Tree {
    return this.#params;
  }

  /** @throws {UsageError} RANKCAST_ADAPTER_LAYER when the new tree has other paths, shapes or types. */
  set params(params: Tree) {
    const describe = (tree: JaxTree) => leavesOf(tree).map(({ path, array }) => `${path.join(".")} ${array.dtype} [${array.shape}]`);
    const before = describe(this.#params);
    const wrong = describe(params).find((text, index) => text !== before[index]);
    if (wrong !== undefined || leavesOf(params).length !== before.length) {
      throw new UsageError("RANKCAST_ADAPTER_LAYER", `the new tree is not like the old one: ${quote(wrong ?? "a leaf is missing")}`, {});
    }
    this.#params = params;
  }
}

/** One array of the tree. jax-js keeps its memory to itself, so values are copied in and out. */
class JaxLeaf implements ForeignTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly #tree: () => unknown;
  readonly #path: readonly string[];

  constructor(tree: () => unknown, path: readonly string[], array: JaxArray) {
    this.dtype = array.dtype as DType;
    this.shape = [...array.shape];
    this.#tree = tree;
    this.#path = path;
  }

  version(): unknown {
    return this.#branch()[this.#name()];
  }

  read(): Tensor {
    const values = (this.version() as JaxArray).ref.dataSync() as TensorArray;
    return Tensor.from(values, this.shape, { dtype: this.dtype });
  }

  write(tensor: Tensor): Tensor {
    const branch = this.#branch();
    const before = branch[this.#name()] as JaxArray;
    branch[this.#name()] = jaxArray(tensor.contiguous().data, this.shape, this.dtype);
    before.dispose();
    return tensor;
  }

  #name(): string {
    return this.#path.at(-1) ?? "";
  }

  #branch(): Branch {
    return this.#path.slice(0, -1).reduce((branch, name) => branch[name] as Branch, this.#tree() as Branch);
  }
}

function leavesOf(tree: JaxTree): { readonly path: readonly string[]; readonly array: JaxArray }[] {
  const found: { path: readonly string[]; array: JaxArray }[] = [];
  const open: { path: readonly string[]; part: unknown }[] = [{ path: [], part: tree }];
  for (let next = open.shift(); next; next = open.shift()) {
    const { path, part } = next;
    if (isJaxArray(part) && path.length > 0) found.push({ path, array: part });
    else if (typeof part === "object" && part !== null && !isJaxArray(part)) {
      open.unshift(...Object.entries(part).map(([name, child]) => ({ path: [...path, name], part: child as unknown })));
    } else {
      throw new UsageError("RANKCAST_ADAPTER_LAYER", `the tree has something at ${quote(path.join("."))} that is no array`, {});
    }
  }
  return found;
}
