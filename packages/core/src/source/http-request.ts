/** A request and the redirects it is sent along. */
import { SourceError } from "../errors/checkpoint-error.ts";
import { printable, quote } from "../errors/quote.ts";
import { exchange, type HttpResponse } from "./http-client.ts";
import type { HttpSession } from "./http-session.ts";
import { type HttpTarget, parseHttpUrl, publicName, redact, sameOrigin } from "./http-url.ts";

/** One logical request. */
export interface FollowedRequest {
  readonly method?: "GET" | "HEAD";
  /** Headers every hop may see: Range, If-Range, If-None-Match. No credentials. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly idleMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** As in `HttpRequest`. */
  readonly bulk?: boolean;
  /** Redirects to another origin, or to none, are returned as they are instead of followed. */
  readonly sameOriginOnly?: boolean;
}

/** An answer and where it came from; `target` may be asked again directly. */
export interface LocatedResponse extends HttpResponse {
  readonly target: HttpTarget;
}

const BASE_HEADERS = { "accept-encoding": "identity", accept: "*/*", "user-agent": "rankcast" } as const;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * Sends a request to `target` (a URL, or where an earlier request ended) and follows at most `limits.redirects` redirects, over http and https only and never from https to http. The
 * session's headers, signature and the URL's userinfo go to the target's own origin; once a redirect has left it they are never sent again.
 * @throws {SourceError} RANKCAST_REDIRECT, and whatever `exchange` throws.
 */
export async function send(session: HttpSession, target: HttpTarget, request: FollowedRequest = {}): Promise<LocatedResponse> {
  const method = request.method ?? "GET";
  let hop: HttpTarget = target;
  for (let redirects = 0; redirects <= session.limits.redirects; redirects += 1) {
    session.stats.requests += 1;
    const response = await exchange({
      url: hop.url,
      method,
      headers: {
        ...BASE_HEADERS,
        ...request.headers,
        ...(hop.foreign ? {} : await credentials(session, hop.url, method)),
        ...(hop.authorization === undefined ? {} : { authorization: hop.authorization }),
      },
      agent: session.agents.for(hop.url),
      idleMs: request.idleMs ?? session.limits.idleMs,
      signal: request.signal ?? session.signal,
      ...(request.bulk ? { bulk: true } : {}),
      onBytes: (count) => {
        session.stats.bytesRead += count;
      },
    });
    if (!REDIRECTS.has(response.status)) return { ...response, target: hop };
    // S3 answers about a bucket of another region with 301 and no place to go to.
    if (request.sameOriginOnly && response.header("location") === null) return { ...response, target: hop };
    const next = nextHop(hop, response);
    if (request.sameOriginOnly && next.foreign) return { ...response, target: hop };
    response.discard();
    hop = next;
  }
  throw redirectError(target.name, `more than ${session.limits.redirects} redirects`);
}

async function credentials(session: HttpSession, url: URL, method: "GET" | "HEAD"): Promise<Readonly<Record<string, string>>> {
  return { ...session.headers, ...(await session.sign?.({ url, method })) };
}

/** Where a redirect leads. Within one origin the userinfo stays; once another was seen, credentials are gone for good. */
function nextHop(hop: HttpTarget, response: HttpResponse): HttpTarget {
  const from = hop.url;
  const location = response.header("location");
  const refuse = (why: string): never => {
    response.discard();
    throw redirectError(hop.name, why);
  };
  if (location === null) return refuse(`status ${response.status} without a Location`);
  let url: URL;
  try {
    url = new URL(location, from);
  } catch {
    return refuse(`the Location ${quote(redact(location))} is no URL`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") return refuse(`a redirect to ${quote(url.protocol)} is not followed`);
  if (from.protocol === "https:" && url.protocol === "http:")
    return refuse(`a redirect from https to http (${publicName(url)}) is not followed`);
  const next = parseHttpUrl(url.href);
  if (!sameOrigin(from, url)) return { ...next, foreign: true };
  return {
    ...(hop.authorization === undefined ? {} : { authorization: hop.authorization }),
    ...next,
    ...(hop.foreign ? { foreign: true } : {}),
  };
}

function redirectError(name: string, why: string): SourceError {
  return new SourceError("RANKCAST_REDIRECT", `${printable(name)}: ${why}`, { details: { url: name } });
}
