/** The error of a name that is in no table. */
import { SourceError } from "../errors/checkpoint-error.ts";
import { nearestNames } from "../errors/nearest-names.ts";
import { quote } from "../errors/quote.ts";

/** Names the nearest known names. */
export function unknownModel(scheme: string, name: string, known: Iterable<string>, remedy?: string): SourceError {
  const nearest = nearestNames(name, known);
  const hint = nearest.length === 0 ? "" : `; nearest: ${nearest.join(", ")}`;
  return new SourceError("RANKCAST_MODEL_UNKNOWN", `${scheme}: unknown model ${quote(name)}${hint}`, {
    details: { scheme, model: name, nearest },
    ...(remedy === undefined ? {} : { remedy }),
  });
}
