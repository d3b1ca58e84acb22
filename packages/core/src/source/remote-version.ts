/** Which version of a remote file an answer is about, and how to ask for exactly that version again. */
import type { HttpResponse } from "./http-client.ts";

/** Identity of a remote file as far as HTTP tells. */
export interface RemoteVersion {
  readonly sizeBytes: number;
  /** Strong entity tag, with its quotes. */
  readonly etag?: string;
  /** Modification date, only where HTTP counts it as strong. */
  readonly lastModified?: string;
}

/** A date validates strongly only when it is clearly older than the answer: the file could change twice in one second (RFC 9110 section 8.8.2.2). */
const DATE_STRONG_MS = 60_000;

/** The version an answer is about; `sizeBytes` is that of the whole file. */
export function remoteVersion(response: Pick<HttpResponse, "header">, sizeBytes: number): RemoteVersion {
  const etag = response.header("etag")?.trim();
  const lastModified = response.header("last-modified")?.trim();
  const strongDate = lastModified !== undefined && Date.parse(response.header("date") ?? "") - Date.parse(lastModified) >= DATE_STRONG_MS;
  return {
    sizeBytes,
    ...(etag !== undefined && /^"[^"]*"$/.test(etag) ? { etag } : {}),
    ...(strongDate ? { lastModified } : {}),
  };
}

/** The `If-Range` value that makes a server send a part of this version or the whole of another; null when nothing identifies the version strongly. */
export function strongValidator(version: RemoteVersion): string | null {
  return version.etag ?? version.lastModified ?? null;
}

/** Whether parts of both may be put together: same size and same strong validator. */
export function isSameVersion(one: RemoteVersion, other: RemoteVersion): boolean {
  const validator = strongValidator(one);
  return validator !== null && one.sizeBytes === other.sizeBytes && validator === strongValidator(other);
}
