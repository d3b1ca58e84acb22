/** vis4d's names: one loader with pluggable schemes, and a door per built-in scheme. */
import { UsageError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { requireArgument, TEXT } from "../errors/require-options.ts";
import { defaultSchemes } from "../scheme/default-schemes.ts";
import type { RegisterOptions, Registration, SchemeLoader, SchemePrefix } from "../scheme/scheme-registry.ts";
import { redact } from "../source/http-url.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { type LoadCheckpointOptions, loadCheckpoint } from "./load-checkpoint.ts";

/** The registry of schemes that every load uses. */
export const CheckpointLoader = {
  /**
   * Registers a loader for one or several prefixes, all or none; the longest match wins. Returns a function that undoes it.
   * @throws {UsageError} RANKCAST_SCHEME_REGISTERED for a prefix that is taken, without `force`.
   */
  registerScheme(prefixes: SchemePrefix | readonly SchemePrefix[], loader: SchemeLoader, options: RegisterOptions = {}): Registration {
    return defaultSchemes.register(prefixes, loader, options);
  },
  /** Removes prefixes; returns whether any was there. */
  unregister(prefixes: SchemePrefix | readonly SchemePrefix[]): boolean {
    return defaultSchemes.unregister(prefixes);
  },
  /** As `loadCheckpoint`. */
  loadCheckpoint(weights: string, options?: LoadCheckpointOptions): Promise<Checkpoint> {
    return loadCheckpoint(weights, options);
  },
} as const;

/** Loads a local file or directory. @throws {SourceError} RANKCAST_NOT_FOUND; otherwise as `loadCheckpoint`. */
export async function loadFromLocal(path: string, options?: LoadCheckpointOptions): Promise<Checkpoint> {
  requireArgument("path", path, TEXT);
  // `./` keeps a file called `https:` from being taken for a URL.
  return loadCheckpoint(/^(~|\/|file:\/\/|[A-Za-z]:[\\/])/.test(path) ? path : `./${path}`, options);
}

/** Loads an http or https URL through the cache. @throws {UsageError} RANKCAST_USAGE for anything else; otherwise as `loadCheckpoint`. */
export async function loadFromHttp(url: string, options?: LoadCheckpointOptions): Promise<Checkpoint> {
  requireArgument("url", url, TEXT);
  requireScheme(url, /^https?:\/\//i, "an http or https URL");
  return loadCheckpoint(url, options);
}

/** Loads a torchvision model by name, with or without `torchvision://`. @throws {SourceError} RANKCAST_MODEL_UNKNOWN with the nearest names. */
export async function loadFromTorchvision(name: string, options?: LoadCheckpointOptions): Promise<Checkpoint> {
  requireArgument("name", name, TEXT);
  return loadCheckpoint(/^(torchvision|modelzoo):\/\//.test(name) ? name : `torchvision://${name}`, options);
}

function requireScheme(text: string, pattern: RegExp, what: string): void {
  if (pattern.test(text)) return;
  throw new UsageError("RANKCAST_USAGE", `${quote(redact(text))} is not ${what}`, { details: { weights: redact(text) } });
}
