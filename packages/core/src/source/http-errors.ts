/** Everything that goes wrong over HTTP, as typed errors without secrets. */
import { SourceError } from "../errors/checkpoint-error.ts";
import { printable, quote } from "../errors/quote.ts";

/** The error of a status that is neither the file nor a redirect. `snippet` is the beginning of the body. */
export function statusError(name: string, status: number, snippet: string, retryAfterMs?: number): SourceError {
  const body = snippet.trim() === "" ? "" : `: ${quote(snippet.trim())}`;
  const message = `${printable(name)}: the server answered ${status}${body}`;
  const details = { url: name, status, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  if (status === 401 || status === 403) return new SourceError("RANKCAST_HTTP_AUTH", message, { details });
  if (status !== 404 && status !== 410) return new SourceError("RANKCAST_HTTP_STATUS", message, { details });
  return new SourceError("RANKCAST_NOT_FOUND", message, { details, remedy: "Check the URL; the server does not have it." });
}

/** The body ended before its declared length, or its framing was cut. */
export function shortBody(name: string, expected: number | null, found: number): SourceError {
  return new SourceError(
    "RANKCAST_HTTP_SHORT",
    `${printable(name)}: expected ${expected ?? "a complete body"} bytes, the connection ended after ${found}`,
    {
      details: { url: name, expected, found },
    },
  );
}

/** The body is longer than declared, or its length is declared twice or not at all. */
export function lengthError(name: string, message: string, expected: number | null, found: number | null): SourceError {
  return new SourceError("RANKCAST_HTTP_LENGTH", `${printable(name)}: ${message}`, { details: { url: name, expected, found } });
}

/** No byte for `idleMs`. */
export function silent(name: string, idleMs: number): SourceError {
  return new SourceError("RANKCAST_NETWORK_SILENT", `${printable(name)}: the server sent no byte for ${idleMs} ms`, {
    details: { url: name, idleMs },
  });
}

/** The answer to a range request is not about the range that was asked for. */
export function rangeError(name: string, asked: string, found: string | null): SourceError {
  return new SourceError(
    "RANKCAST_HTTP_RANGE",
    `${printable(name)}: asked for ${asked}, the server answered with ${found === null ? "no Content-Range" : quote(found)}`,
    {
      details: { url: name, asked, found },
    },
  );
}

/** The file changed on the server between two requests. */
export function changed(name: string, expected: string, found: string): SourceError {
  return new SourceError(
    "RANKCAST_SOURCE_CHANGED",
    `${printable(name)}: the file changed on the server while it was read: expected version ${quote(expected)}, found ${quote(found)}`,
    {
      details: { url: name, expected, found },
    },
  );
}

/** What node-fetch, a socket or a name server threw. Its text is not shown: it holds the whole URL. Anything else is a defect and comes back as it is. */
export function connectionError(name: string, error: unknown): unknown {
  if (error instanceof SourceError) return error;
  const { code, name: kind } = error as NodeJS.ErrnoException;
  if (code === undefined && kind !== "FetchError" && kind !== "AbortError") return error;
  const systemError = code ?? kind;
  // node-fetch keeps only the code of what the lookup hook threw.
  if (systemError === "RANKCAST_ADDRESS_BLOCKED") {
    return new SourceError(systemError, `${printable(name)}: the host's address is private, and private addresses are blocked`, {
      details: { url: name },
    });
  }
  const refused = /^PROXY_REFUSED_(\d+)$/.exec(systemError)?.[1];
  if (refused !== undefined) return proxyRefused(name, Number(refused));
  const secure = TLS_ERROR.test(systemError);
  return new SourceError(
    secure ? "RANKCAST_TLS" : "RANKCAST_NETWORK",
    `${printable(name)}: ${secure ? "the server's certificate was refused" : "no connection"}: ${systemError}`,
    { details: { url: name, systemError } },
  );
}

/** The proxy opened no tunnel to the server: it may be busy, or it does not want to. */
function proxyRefused(name: string, status: number): SourceError {
  const code = RETRYABLE_STATUS.has(status) ? "RANKCAST_HTTP_STATUS" : "RANKCAST_PROXY";
  return new SourceError(code, `${printable(name)}: the proxy opened no connection to it: ${status}`, { details: { url: name, status } });
}

const EXPIRED = new Set([401, 403, 404, 410]);

/** Whether a refusal only means that the signed address a redirect led to has run out: the URL itself gives a new one. */
export function hasRunOut(status: number, redirected: boolean): boolean {
  return redirected && EXPIRED.has(status);
}

/** The transient error of that. */
export function runOut(name: string): SourceError {
  return new SourceError("RANKCAST_NETWORK", `${printable(name)}: the address it redirected to has run out`, {
    details: { url: name, systemError: "EXPIRED_REDIRECT" },
  });
}

const TLS_ERROR = /^(CERT_|ERR_TLS_|ERR_SSL_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_CA|PATH_LENGTH|CRL_|EPROTO$)/;
const RETRYABLE_STATUS = new Set([408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 529]);
const PERMANENT_SYSTEM_ERROR = new Set([
  "ENOTFOUND",
  "EACCES",
  "EPERM",
  "ENETDOWN",
  "EADDRNOTAVAIL",
  "ERR_INVALID_URL",
  "HPE_UNEXPECTED_CONTENT_LENGTH",
]);

/** Whether the same request may well succeed when it is sent again. */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof SourceError)) return false;
  switch (error.code) {
    case "RANKCAST_HTTP_SHORT":
    case "RANKCAST_NETWORK_SILENT":
      return true;
    case "RANKCAST_NETWORK":
      return !PERMANENT_SYSTEM_ERROR.has(String(error.details["systemError"]));
    case "RANKCAST_HTTP_STATUS":
      return RETRYABLE_STATUS.has(Number(error.details["status"]));
    default:
      return false;
  }
}
