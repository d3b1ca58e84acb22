/** What user code sees while a load is planned. Nothing of the model may be changed here: changes go through `onCommit` (law L10). */
import type { LoadProblem, Mismatch } from "../report/replica-report.ts";
import type { ModuleMetadata } from "../tensor/state-dict.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Module } from "./module.ts";

/**
 * The part of the state dict under one module, under full keys. Edits are seen by this module and its descendants only, never by the
 * caller's state dict (semantics G5, G8, F13).
 */
export interface StateDictView {
  get(key: string): Tensor | undefined;
  has(key: string): boolean;
  /** Keys under the module's prefix: the checkpoint's order, added keys last. */
  keys(): string[];
  /**
   * Adds or replaces an entry; it counts as coming from the checkpoint.
   * @throws {UsageError} RANKCAST_USAGE when the key is not under the module's prefix.
   */
  set(key: string, tensor: Tensor): void;
  /**
   * Adds an entry that the checkpoint is too old to have; reported as defaulted, never counted as matched.
   * @throws {UsageError} RANKCAST_USAGE when the key is not under the module's prefix.
   */
  setDefault(key: string, tensor: Tensor, rule: string): void;
  /** Takes an entry away; false when there was none. */
  delete(key: string): boolean;
}

/** A change that a hook wants made when the load is committed, and how to take it back. */
export interface CommitAction {
  apply(): void;
  /** Called when a later step of the commit fails. */
  undo?(): void;
}

/** One module's step of planning a load. The lists are shared by all modules of the load and may be edited in place. */
export interface LoadView {
  readonly module: Module;
  /** `layer1.0.`, empty for the root. */
  readonly prefix: string;
  /** What the checkpoint says about this module, `version` above all; empty when it says nothing. */
  readonly metadata: ModuleMetadata;
  readonly strict: boolean;
  readonly stateDict: StateDictView;
  readonly missing: string[];
  readonly unexpected: string[];
  readonly mismatched: Mismatch[];
  readonly errors: LoadProblem[];
  /** Adds an error about this module; it fails the load unless mismatches are skipped. */
  addError(message: string): void;
  /** Registers a change for the commit. It runs after all tensors are in place. */
  onCommit(action: CommitAction): void;
  /** The default step: pre hooks, then this module's own keys. What `Module.loadFromStateDict` calls. */
  planLocal(): void;
}

/** Runs before a module's own keys are planned. */
export type LoadPreHook = (view: LoadView) => void;

/** The lists a post hook may edit; its edits count before strict is decided (semantics G6). */
export interface IncompatibleKeys {
  readonly missing: string[];
  readonly unexpected: string[];
}

/** Runs after a module and its descendants are planned, children before parents. Must return nothing. */
export type LoadPostHook = (module: Module, incompatible: IncompatibleKeys) => void;
