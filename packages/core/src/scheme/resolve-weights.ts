/** From a weights string to its bytes, through whichever scheme it names. */
import { UsageError } from "../errors/checkpoint-error.ts";
import { nearestNames } from "../errors/nearest-names.ts";
import { quote } from "../errors/quote.ts";
import type { ResolvedSource } from "../source/byte-source.ts";
import { redact } from "../source/http-url.ts";
import type { StateDict } from "../tensor/state-dict.ts";
import { checkLoaded } from "./check-loaded.ts";
import { defaultSchemes } from "./default-schemes.ts";
import { type ResolveOptions, type SettledOptions, settleOptions } from "./resolve-context.ts";
import { prefixText, type SchemeRegistry } from "./scheme-registry.ts";

/**
 * What `weights` stands for. Opens files and may download; decodes nothing.
 * @throws {UsageError} RANKCAST_SCHEME_UNKNOWN for a scheme nobody registered; RANKCAST_USAGE for text no scheme understands.
 * @throws {SourceError} as the scheme's loader.
 */
export async function resolveWeights(
  weights: string,
  options: ResolveOptions = {},
  registry: SchemeRegistry = defaultSchemes,
): Promise<ResolvedSource | StateDict> {
  if (typeof weights !== "string" || weights === "") {
    throw new UsageError("RANKCAST_USAGE", "weights must be a path or a URL, and is empty", { details: { option: "weights" } });
  }
  return handOver(weights, settleOptions(options), registry, 0);
}

/** A scheme may hand over to another one, but not in circles. */
const HANDOVERS_MAX = 8;

async function handOver(
  weights: string,
  context: SettledOptions,
  registry: SchemeRegistry,
  depth: number,
): Promise<ResolvedSource | StateDict> {
  const scheme = registry.find(weights);
  if (scheme === null) throw unknownScheme(weights, registry);
  if (depth > HANDOVERS_MAX)
    throw new UsageError("RANKCAST_USAGE", `${quote(redact(weights))}: schemes hand it over to each other without end`);
  if (scheme.prefix === "" && looksLikeScheme(weights)) throw unknownScheme(weights, registry);
  const loaded: unknown = await scheme.loader(weights, { ...context, resolve: (other) => handOver(other, context, registry, depth + 1) });
  return checkLoaded(loaded, prefixText(scheme.prefix));
}

/** `foo://x`; Windows drives and odd file names are no schemes. */
function looksLikeScheme(weights: string): boolean {
  return /^[a-z][a-z0-9+.-]+:\/\//i.test(weights);
}

function unknownScheme(weights: string, registry: SchemeRegistry): UsageError {
  const scheme = /^[^/]*:\/\//.exec(weights)?.[0] ?? weights;
  const known = registry.schemes.map((each) => prefixText(each.prefix)).filter((each) => each !== "");
  const [nearest] = nearestNames(scheme, known, 1);
  return new UsageError(
    "RANKCAST_SCHEME_UNKNOWN",
    `${quote(redact(weights))}: no loader is registered for ${quote(scheme)}; registered: ${known.join(", ")}`,
    {
      details: { weights: redact(weights), scheme, known, ...(nearest === undefined ? {} : { nearest }) },
      ...(nearest === undefined
        ? {}
        : { remedy: `Did you mean ${nearest}? Other schemes are added with CheckpointLoader.registerScheme.` }),
    },
  );
}
