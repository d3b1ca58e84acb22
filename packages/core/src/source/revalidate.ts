/** Asks a server, without fetching anything, whether a cached file is still what its URL stands for. */
import { SourceError } from "../errors/checkpoint-error.ts";
import { parseContentRange } from "./byte-range.ts";
import type { CacheEntry } from "./cache-entry.ts";
import { isTransient } from "./http-errors.ts";
import { type LocatedResponse, send } from "./http-request.ts";
import type { HttpSession } from "./http-session.ts";
import type { HttpTarget } from "./http-url.ts";
import { responseError } from "./response-error.ts";

/** Still the same, another file now, or the server can not be asked. */
export type Freshness = { readonly state: "same" | "changed" } | { readonly state: "unknown"; readonly why: SourceError };

/** Statuses of servers that do not answer HEAD, or not with a signature made for GET. */
const NO_HEAD = new Set([400, 403, 405, 501]);
/** A cached file is at hand: nobody wants to wait half a minute to learn that it may be used. */
const IDLE_MS_MAX = 10_000;

/**
 * One conditional HEAD, or a one-byte GET where HEAD is not answered. Trouble on the way is `unknown`, not an error.
 * @throws {SourceError} RANKCAST_NOT_FOUND, RANKCAST_HTTP_AUTH when the server says so; the reason of an aborted signal.
 */
export async function revalidate(session: HttpSession, target: HttpTarget, entry: CacheEntry): Promise<Freshness> {
  const headers = {
    ...(entry.etag === null ? {} : { "if-none-match": entry.etag }),
    ...(entry.lastModified === null || entry.etag !== null ? {} : { "if-modified-since": entry.lastModified }),
  };
  const idleMs = Math.min(session.limits.idleMs, IDLE_MS_MAX);
  try {
    let response = await send(session, target, { method: "HEAD", headers, idleMs });
    if (NO_HEAD.has(response.status)) {
      response.discard();
      response = await send(session, target, { headers: { ...headers, range: "bytes=0-0" }, idleMs });
    }
    const same = response.status === 304 || ((response.status === 200 || response.status === 206) && describesEntry(response, entry));
    if (same || response.status === 200 || response.status === 206 || response.status === 416) {
      response.discard();
      return { state: same ? "same" : "changed" };
    }
    throw await responseError(target.name, response);
  } catch (error) {
    session.signal?.throwIfAborted();
    const final = error instanceof SourceError && (error.code === "RANKCAST_NOT_FOUND" || error.code === "RANKCAST_HTTP_AUTH");
    if (final || !(error instanceof SourceError)) throw error;
    if (isTransient(error) || error.class === "network" || error.class === "http") return { state: "unknown", why: error };
    throw error;
  }
}

/** By entity tag, else by date, else by size; a server that says nothing has not changed the file as far as anyone can tell. */
function describesEntry(response: LocatedResponse, entry: CacheEntry): boolean {
  const etag = response.header("etag");
  if (etag !== null && entry.etag !== null) return strip(etag) === strip(entry.etag);
  const lastModified = response.header("last-modified");
  if (lastModified !== null && entry.lastModified !== null && lastModified !== entry.lastModified) return false;
  const partial = parseContentRange(response.header("content-range"))?.sizeBytes;
  const length = response.header("content-length");
  const sizeBytes = partial ?? (response.status === 200 && length !== null ? Number(length) : entry.sizeBytes);
  return sizeBytes === entry.sizeBytes;
}

function strip(etag: string): string {
  return etag.trim().replace(/^W\//, "");
}
