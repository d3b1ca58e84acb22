/** The view that one module's hooks work with. */
import { UsageError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import type { LoadProblem, Mismatch } from "../report/replica-report.ts";
import type { ModuleMetadata } from "../tensor/state-dict.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { CommitAction, LoadView, StateDictView } from "./load-hooks.ts";
import type { Module } from "./module.ts";
import type { ModuleNode } from "./module-tree.ts";
import type { PlanDraft } from "./plan-draft.ts";
import type { EditedLayer, StateDictLayer } from "./state-dict-layer.ts";

/** What a view needs of the planner. */
export interface ViewHost {
  readonly node: ModuleNode;
  readonly metadata: ModuleMetadata;
  readonly strict: boolean;
  readonly draft: PlanDraft;
  /** The layer to read. */
  layer(): StateDictLayer;
  /** The layer to write, made on the first edit. */
  edited(): EditedLayer;
  /** Keys whose values are no part of the checkpoint, with the rule that says so. */
  readonly defaults: Map<string, string>;
  planLocal(view: LoadView): void;
}

/** `LoadView` of one module. */
export class ModuleView implements LoadView {
  readonly stateDict: StateDictView;
  readonly #host: ViewHost;

  constructor(host: ViewHost) {
    this.#host = host;
    this.stateDict = new LayerView(host);
  }

  get module(): Module {
    return this.#host.node.module;
  }

  get prefix(): string {
    return this.#host.node.prefix;
  }

  get metadata(): ModuleMetadata {
    return this.#host.metadata;
  }

  get strict(): boolean {
    return this.#host.strict;
  }

  get missing(): string[] {
    return this.#host.draft.missing;
  }

  get unexpected(): string[] {
    return this.#host.draft.unexpected;
  }

  get mismatched(): Mismatch[] {
    return this.#host.draft.mismatched;
  }

  get errors(): LoadProblem[] {
    return this.#host.draft.errors;
  }

  addError(message: string): void {
    this.#host.draft.addProblem(this.#host.node.path, message, false);
  }

  onCommit(action: CommitAction): void {
    this.#host.draft.actions.push(action);
  }

  planLocal(): void {
    this.#host.planLocal(this);
  }
}

/** `StateDictView` of one module: full keys, this module's part only. */
class LayerView implements StateDictView {
  readonly #host: ViewHost;

  constructor(host: ViewHost) {
    this.#host = host;
  }

  #owns(key: string): boolean {
    return key.startsWith(this.#host.node.prefix);
  }

  get(key: string): Tensor | undefined {
    const value = this.#owns(key) ? this.#host.layer().get(key) : undefined;
    return value instanceof Tensor ? value : undefined;
  }

  has(key: string): boolean {
    return this.#owns(key) && this.#host.layer().get(key) !== undefined;
  }

  keys(): string[] {
    return this.#host.layer().keysUnder(this.#host.node.prefix);
  }

  set(key: string, tensor: Tensor): void {
    this.#put(key, tensor);
    this.#host.defaults.delete(key);
  }

  setDefault(key: string, tensor: Tensor, rule: string): void {
    this.#put(key, tensor);
    this.#host.defaults.set(key, rule);
  }

  #put(key: string, tensor: Tensor): void {
    // Nobody outside the module would see it: the edit would be lost without a word.
    if (!this.#owns(key)) {
      throw new UsageError("RANKCAST_USAGE", `${quote(key)} is outside the module at ${quote(this.#host.node.path)}`, { details: { key } });
    }
    this.#host.edited().put(key, tensor);
  }

  delete(key: string): boolean {
    const known = this.has(key);
    if (known) this.#host.edited().put(key, undefined);
    return known;
  }
}
