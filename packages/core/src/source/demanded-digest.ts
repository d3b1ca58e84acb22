/** The SHA-256 that a caller demands of a file, where no download computes it on the way. */
import { UsageError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import { digestMismatch, expectedDigest, meets } from "./expected-digest.ts";

/**
 * Proves that `found` is the demanded digest; it is asked for only when one is demanded. `found` is null for what is no file: leaving a demanded
 * digest out would be believing what was to be proved.
 * @throws {SourceError} RANKCAST_HASH_MISMATCH; {UsageError} RANKCAST_USAGE for a folder and for what is no digest.
 */
export async function requireDigest(name: string, demanded: string | undefined, found: (() => Promise<string>) | null): Promise<void> {
  if (demanded === undefined) return;
  const expected = expectedDigest(new URL("file:///"), { sha256: demanded });
  if (found === null) {
    throw new UsageError("RANKCAST_USAGE", `${printable(name)}: a SHA-256 is of one file, and this is a folder`, {
      details: { option: "sha256", file: name },
      remedy: "Pass the file that the digest is of, or leave the digest out.",
    });
  }
  const sha256 = await found();
  if (expected !== null && !meets(expected, sha256)) throw digestMismatch(name, expected.prefix, sha256, "sha256");
}
