/** Which loader a weights string belongs to. */
import { UsageError } from "../errors/checkpoint-error.ts";
import type { ResolvedSource } from "../source/byte-source.ts";
import type { StateDict } from "../tensor/state-dict.ts";
import type { ResolveContext } from "./resolve-context.ts";

/** Turns a weights string into the files it stands for (decoded later, once), or into a state dict made by other means. */
export type SchemeLoader = (uri: string, context: ResolveContext) => ResolvedSource | StateDict | Promise<ResolvedSource | StateDict>;

/** A literal beginning of weights strings, or a pattern that must match at their first character. */
export type SchemePrefix = string | RegExp;

/** How to register. */
export interface RegisterOptions {
  /** Replace loaders that are registered for a prefix already. */
  readonly force?: boolean;
  /** For messages; the function's own name when absent. */
  readonly name?: string;
}

/** Undoes a registration, also as `using`. What was replaced with `force` does not come back. */
export interface Registration extends Disposable {
  (): void;
}

/** A registered loader. */
export interface RegisteredScheme {
  readonly prefix: SchemePrefix;
  readonly name: string;
  readonly loader: SchemeLoader;
}

/** Loaders by prefix. The longest match wins: a literal by its length, a pattern by the length of what it matched; then the one registered first. */
export class SchemeRegistry {
  /** By `prefixKey`, in the order of registration. */
  readonly #schemes = new Map<string, RegisteredScheme>();

  /**
   * Registers a loader for one or several prefixes, all or none. Without a loader it returns a function that takes it, for use as a decorator.
   * @throws {TypeError} when prefixes are neither strings nor regular expressions, or the loader is no function.
   * @throws {UsageError} RANKCAST_SCHEME_REGISTERED for a prefix that is taken, without `force`.
   */
  register(prefixes: SchemePrefix | readonly SchemePrefix[], loader: SchemeLoader, options?: RegisterOptions): Registration;
  /** The decorator form. @throws {TypeError} and {UsageError} RANKCAST_SCHEME_REGISTERED as above, the latter when the loader is given. */
  register(prefixes: SchemePrefix | readonly SchemePrefix[], options?: RegisterOptions): <T extends SchemeLoader>(loader: T) => T;
  register(
    prefixes: SchemePrefix | readonly SchemePrefix[],
    loaderOrOptions?: SchemeLoader | RegisterOptions,
    options: RegisterOptions = {},
  ): Registration | (<T extends SchemeLoader>(loader: T) => T) {
    const list = checkedPrefixes(prefixes);
    // What is neither options nor a function is refused with the functions.
    if (loaderOrOptions !== undefined && typeof loaderOrOptions !== "object") return this.#register(list, loaderOrOptions, options);
    return (loader) => {
      this.#register(list, loader, loaderOrOptions ?? {});
      return loader;
    };
  }

  /** Removes prefixes; returns whether any was there. @throws {TypeError} as `register`. */
  unregister(prefixes: SchemePrefix | readonly SchemePrefix[]): boolean {
    return checkedPrefixes(prefixes)
      .map((prefix) => this.#schemes.delete(prefixKey(prefix)))
      .includes(true);
  }

  /** The loader for a weights string; null when no prefix matches. */
  find(weights: string): RegisteredScheme | null {
    let best: { readonly scheme: RegisteredScheme; readonly length: number } | null = null;
    for (const scheme of this.#schemes.values()) {
      const length = matchLength(scheme.prefix, weights);
      if (length !== null && (best === null || length > best.length)) best = { scheme, length };
    }
    return best?.scheme ?? null;
  }

  /** What is registered, in order. */
  get schemes(): readonly RegisteredScheme[] {
    return [...this.#schemes.values()];
  }

  #register(prefixes: readonly SchemePrefix[], loader: SchemeLoader, options: RegisterOptions): Registration {
    if (typeof loader !== "function") throw new TypeError("loader must be a function");
    const taken = options.force ? undefined : prefixes.find((prefix) => this.#schemes.has(prefixKey(prefix)));
    if (taken !== undefined) {
      throw new UsageError(
        "RANKCAST_SCHEME_REGISTERED",
        `${prefixText(taken)} is already registered as a loader backend, add "force: true" if you want to override it`,
        {
          details: { prefix: prefixText(taken) },
        },
      );
    }
    const added = prefixes.map(
      (prefix): RegisteredScheme => ({ prefix, loader, name: options.name ?? (loader.name || prefixText(prefix)) }),
    );
    for (const scheme of added) {
      // A replaced scheme counts as registered now.
      this.#schemes.delete(prefixKey(scheme.prefix));
      this.#schemes.set(prefixKey(scheme.prefix), scheme);
    }
    const undo = (): void => {
      for (const scheme of added)
        if (this.#schemes.get(prefixKey(scheme.prefix)) === scheme) this.#schemes.delete(prefixKey(scheme.prefix));
    };
    return Object.assign(undo, { [Symbol.dispose]: undo });
  }
}

/** A prefix as text, for messages. */
export function prefixText(prefix: SchemePrefix): string {
  return typeof prefix === "string" ? prefix : String(prefix);
}

function prefixKey(prefix: SchemePrefix): string {
  return typeof prefix === "string" ? `text ${prefix}` : `pattern ${prefix}`;
}

function checkedPrefixes(prefixes: SchemePrefix | readonly SchemePrefix[]): readonly SchemePrefix[] {
  const list: readonly unknown[] = Array.isArray(prefixes) ? prefixes : [prefixes];
  if (list.length === 0 || !list.every((each) => typeof each === "string" || each instanceof RegExp)) {
    throw new TypeError("prefixes must be a string, a RegExp, or an array of them");
  }
  return list as readonly SchemePrefix[];
}

/** How many characters of `weights` the prefix covers; null when it does not match. */
function matchLength(prefix: SchemePrefix, weights: string): number | null {
  if (typeof prefix === "string") return weights.startsWith(prefix) ? prefix.length : null;
  // A sticky copy: anchored at the first character whatever the flags say, and without state between calls.
  const anchored = new RegExp(prefix.source, `${prefix.flags.replace(/[gy]/g, "")}y`);
  return anchored.exec(weights)?.[0].length ?? null;
}
