/** The error of a name that is in no table. */
import { SourceError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";

/** Names the nearest known names, closest first. */
export function unknownModel(scheme: string, name: string, nearest: readonly string[], remedy?: string): SourceError {
  const hint = nearest.length === 0 ? "" : `; nearest: ${nearest.join(", ")}`;
  return new SourceError("RANKCAST_MODEL_UNKNOWN", `${scheme}: unknown model ${quote(name)}${hint}`, {
    details: { scheme, model: name, nearest: [...nearest] },
    ...(remedy === undefined ? {} : { remedy }),
  });
}
