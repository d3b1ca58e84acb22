/** Modules that only stand around another one, as data-parallel wrappers do. */
import { Module } from "./module.ts";
import { requireModule } from "./require-module.ts";

/**
 * A wrapper: state dicts, names and loads treat it as the module inside, at any depth of the tree. Subclass it, or use it as it is.
 */
export class ModuleWrapper extends Module {
  readonly #inner: Module;

  /** @throws {UsageError} RANKCAST_USAGE for what is no module. */
  constructor(module: Module) {
    super();
    requireModule(module, "the wrapped module");
    this.#inner = module;
    this.registerModule("module", module);
  }

  /** The module inside. */
  get module(): Module {
    return this.#inner;
  }

  override unwrapped(): Module {
    return this.#inner;
  }
}

/** The innermost module: `module` itself unless it is a wrapper. */
export function unwrapModule(module: Module): Module {
  let current = module;
  for (let inner = current.unwrapped(); inner !== current; inner = current.unwrapped()) current = inner;
  return current;
}
