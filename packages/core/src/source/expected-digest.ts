/** Which SHA-256 a file must have: said by the caller, by a table, or by the file's own name. */
import { SourceError, UsageError } from "../errors/checkpoint-error.ts";
import { printable, quote } from "../errors/quote.ts";

/** An expectation about content. */
export interface ExpectedDigest {
  /** Lower-case hex: the whole digest or its beginning. */
  readonly prefix: string;
  /** Whether a mismatch refuses the file; else it is only told. */
  readonly enforced: boolean;
  readonly from: "option" | "table" | "name";
}

/** What the caller and the tables know. */
export interface DigestKnowledge {
  /** The whole digest, from the caller; wins over everything. */
  readonly sha256?: string;
  /** From a weight table. */
  readonly tablePrefix?: { readonly prefix: string; readonly enforced: boolean };
  /** Do not enforce what the name says. */
  readonly ignoreName?: boolean;
}

// The last [-_]hex group before a known extension. torch's own pattern (-([a-f0-9]*)\. anywhere) reads "1" out of model-1.5-final.pth.
const NAME = /[-_]([0-9a-f]{6,64})\.(?:pth|pt|bin|ckpt|pkl|safetensors|pth\.tar|tar|zip|npz|npy|gguf|h5|onnx|distcp)$/;
/** Publishers whose release tools put 6 or more digits of the SHA-256 into names (vis4d/common/release.py, OpenMMLab's publish_model.py). */
const KNOWN_PUBLISHERS = [/^https:\/\/dl\.cv\.ethz\.ch\/vis4d\//, /^https:\/\/download\.openmmlab\.com\//];
/** Four files whose digits nobody has proved to be a digest: torch's own check does not see them. */
const UNPROVED = /^https:\/\/download\.pytorch\.org\/models\/quantized\/[^/]*_[0-9a-f]{8}\.pth$/;
const DATE = /^(19|20)\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])/;

/**
 * What is expected of the file behind a URL; null when nothing is.
 *
 * A name counts from 8 digits on, or from 6 for publishers known to use 6; fewer digits, a date and, after an underscore, a number without letters
 * (a step count) only warn.
 * @throws {UsageError} RANKCAST_USAGE for a `sha256` that is not 64 hex digits.
 */
export function expectedDigest(url: URL, known: DigestKnowledge): ExpectedDigest | null {
  if (known.sha256 !== undefined) {
    const prefix = known.sha256
      .trim()
      .toLowerCase()
      .replace(/^sha256:/, "");
    if (/^[0-9a-f]{64}$/.test(prefix)) return { prefix, enforced: true, from: "option" };
    throw new UsageError("RANKCAST_USAGE", `sha256: expected 64 hexadecimal digits, found ${quote(known.sha256)}`, {
      details: { option: "sha256" },
    });
  }
  if (known.tablePrefix !== undefined) return { ...known.tablePrefix, from: "table" };
  const match = NAME.exec(url.pathname.slice(url.pathname.lastIndexOf("/") + 1));
  const prefix = match?.[1];
  if (prefix === undefined || known.ignoreName) return null;
  const publisher = KNOWN_PUBLISHERS.some((each) => each.test(url.href));
  const unproved = UNPROVED.test(url.href) || DATE.test(prefix) || (match?.[0].startsWith("_") && /^\d+$/.test(prefix));
  return { prefix, enforced: publisher || (prefix.length >= 8 && !unproved), from: "name" };
}

/** Whether a digest is the expected one. */
export function meets(expected: ExpectedDigest, sha256: string): boolean {
  return sha256.startsWith(expected.prefix);
}

/** The error of a wrong digest, in torch's words. */
export function digestMismatch(name: string, expected: string, actual: string, algorithm: string): SourceError {
  return new SourceError("RANKCAST_HASH_MISMATCH", `${printable(name)}: invalid hash value (expected "${expected}", got "${actual}")`, {
    details: { url: name, algorithm, expected, found: actual },
  });
}
