/** URLs without their secrets. Everything that reaches a message, a log, a report or the cache goes through here. */
import { createHash } from "node:crypto";
import { UsageError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";

/** A URL as it is requested, with what was hidden in it taken out. */
export interface HttpTarget {
  /** Without userinfo and fragment; the query is still there. */
  readonly url: URL;
  /** `Basic …` when the URL had userinfo; a secret, for this origin only. */
  readonly authorization?: string;
  /** For messages: origin and path. */
  readonly name: string;
  /** A redirect led here from another origin: the session's credentials must not be sent. */
  readonly foreign?: true;
}

/**
 * Takes a URL apart.
 * @throws {UsageError} RANKCAST_USAGE when it is no http or https URL.
 */
export function parseHttpUrl(text: string): HttpTarget {
  const url = tryUrl(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new UsageError("RANKCAST_USAGE", `${quote(redact(text))} is no http or https URL`, { details: { url: redact(text) } });
  }
  const authorization = url.username === "" && url.password === "" ? undefined : basic(url);
  url.username = "";
  url.password = "";
  url.hash = "";
  return { url, name: publicName(url), ...(authorization === undefined ? {} : { authorization }) };
}

/** Origin and path of a URL: enough to recognise it, and no place for a secret. */
export function publicName(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

/** Any text that may be a URL, with userinfo and query cut out; for text that does not parse. */
export function redact(text: string): string {
  return text.replace(/(:\/\/)[^/?#]*@/g, "$1").replace(/[?#].*$/s, "");
}

/** What a cache entry is found by: SHA-256 of the URL without userinfo and fragment, in hex. Scheme, host and default port are normalised by the URL parser. */
export function urlKey(url: URL): string {
  return createHash("sha256").update(url.href).digest("hex");
}

/** Last segment of the path as a name for people: at most 100 plain characters, never empty, never a dot name. */
export function readableName(url: URL): string {
  const last = url.pathname.slice(url.pathname.lastIndexOf("/") + 1);
  const plain = last.replace(/%[0-9A-Fa-f]{2}|[^A-Za-z0-9._+-]/g, "_").replace(/^\.+/, "");
  return plain === "" ? "file" : plain.slice(-100);
}

/** Whether credentials for one URL may go to the other: same scheme, host and port. */
export function sameOrigin(one: URL, other: URL): boolean {
  return one.origin === other.origin;
}

function tryUrl(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

function basic(url: URL): string {
  return `Basic ${Buffer.from(`${decoded(url.username)}:${decoded(url.password)}`, "utf8").toString("base64")}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
