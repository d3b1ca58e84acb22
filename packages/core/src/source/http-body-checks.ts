/** What a body must not be, and what the server itself says its digest is. */
import { SourceError } from "../errors/checkpoint-error.ts";
import { printable, quote } from "../errors/quote.ts";
import type { HashAlgorithm } from "./hash-algorithms.ts";
import type { HttpResponse } from "./http-client.ts";

/** Enough of a body to see a web page. */
export const HEAD_BYTES = 512;

/**
 * Refuses a web page (a login form, a preview, a captcha) that came instead of a file. No checkpoint format starts with `<`.
 * @throws {SourceError} RANKCAST_HTTP_HTML.
 */
export function refuseHtml(name: string, head: Uint8Array): void {
  const text = Buffer.from(head.buffer, head.byteOffset, Math.min(head.length, HEAD_BYTES)).toString("latin1");
  const start = text.replace(/^\u00ef\u00bb\u00bf/, "").replace(/^\s+/, "");
  if (!/^(<!doctype\s+html|<html[\s>]|<head[\s>]|<body[\s>]|<!--[\s\S]*<html|<\?xml[\s\S]*<html)/i.test(start)) return;
  throw new SourceError("RANKCAST_HTTP_HTML", `${printable(name)}: the server sent a web page: ${quote(start.slice(0, 120))}`, {
    details: { url: name },
  });
}

/** A digest of the whole file that the server announced. */
export interface AnnouncedDigest {
  readonly algorithm: HashAlgorithm;
  /** Lower-case hex. */
  readonly hex: string;
  /** The header it came from. */
  readonly header: string;
}

/**
 * Digests of the whole file in the head of an answer: `Repr-Digest` (RFC 9530), `Digest` (RFC 3230), `x-goog-hash` and `x-amz-checksum-sha256` of the object
 * stores, and `Content-MD5` (RFC 1864), which is about the body and so counts only when the body is the whole file. Malformed ones are ignored.
 */
export function announcedDigests(response: Pick<HttpResponse, "header">, wholeBody: boolean): AnnouncedDigest[] {
  const found: AnnouncedDigest[] = [];
  const add = (algorithm: HashAlgorithm, base64: string | undefined, header: string): void => {
    const hex = Buffer.from(base64 ?? "", "base64").toString("hex");
    if (hex.length === DIGEST_HEX_LENGTH[algorithm]) found.push({ algorithm, hex, header });
  };
  const repr = response.header("repr-digest") ?? "";
  const digest = response.header("digest") ?? "";
  for (const [algorithm, label] of LABELS) {
    add(algorithm, new RegExp(`(?:^|[,\\s])${label}=:([A-Za-z0-9+/=]+):`, "i").exec(repr)?.[1], "Repr-Digest");
    add(algorithm, new RegExp(`(?:^|[,\\s])${label}=([A-Za-z0-9+/=]+)`, "i").exec(digest)?.[1], "Digest");
  }
  add("md5", /(?:^|[,\s])md5=([A-Za-z0-9+/=]+)/.exec(response.header("x-goog-hash") ?? "")?.[1], "x-goog-hash");
  add("sha256", response.header("x-amz-checksum-sha256") ?? undefined, "x-amz-checksum-sha256");
  if (wholeBody) add("md5", response.header("content-md5") ?? undefined, "Content-MD5");
  return found;
}

const DIGEST_HEX_LENGTH: Readonly<Record<HashAlgorithm, number>> = { sha256: 64, "git-sha1": 40, md5: 32 };
const LABELS: readonly (readonly [HashAlgorithm, string])[] = [
  ["sha256", "sha-256"],
  ["md5", "md5"],
];
