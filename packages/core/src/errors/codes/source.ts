/** Codes of sources, downloads and the cache. */
import type { ErrorCodeRow } from "../error-code-row.ts";

/** Codes of sources, downloads and the cache. */
export const SOURCE_CODES = {
  RANKCAST_NOT_FOUND: {
    class: "not-found",
    meaning: "There is no such file, object or URL.",
    remedy: "Check the path or URL; a relative path is resolved against the working directory.",
  },
  RANKCAST_FILE_KIND: {
    class: "not-found",
    meaning: "The path leads to a pipe, a device, a socket or a directory where a regular file is needed.",
    remedy: "Pass a regular file; write what a pipe or device gives into one first.",
  },
  RANKCAST_OUTPUT: {
    class: "disk-full",
    meaning: "What the command printed could not be written to where its standard output leads.",
    remedy: "Free space there, or send the output somewhere else.",
  },
  RANKCAST_FILE_UNREADABLE: {
    class: "not-found",
    meaning: "The operating system refused to open, list or read a file.",
    remedy: "Check permissions, open-file limits and the disk; the cause names the system error.",
  },
  RANKCAST_SIBLING_PATH: {
    class: "unsafe-path",
    meaning: "A file beside the entry file was named by an absolute path, or by one that leaves its directory.",
    remedy: "Do not load this checkpoint: a well-formed one names its parts relative to its own directory.",
  },
  RANKCAST_SOURCE_TRUNCATED: {
    class: "truncated",
    meaning: "A source ended before the bytes that were asked for.",
    remedy: "Fetch or copy the file again; it is shorter than its own structure says, or was cut while it was read.",
  },
  RANKCAST_SOURCE_CHANGED: {
    class: "integrity",
    meaning: "A file or object changed while it was read, so its bytes would mix two versions.",
    remedy: "Load again when nobody writes it; write checkpoints to a new name and rename them into place.",
  },
  RANKCAST_NETWORK: {
    class: "network",
    meaning: "No connection to the server, or it was lost, and trying again did not help.",
    remedy:
      "Check the host, the network and the proxy variables (http_proxy, https_proxy, no_proxy), then load again: the download resumes.",
  },
  RANKCAST_NETWORK_SILENT: {
    class: "network",
    meaning: "The server kept the connection open but sent nothing for the whole idle limit.",
    remedy: "Load again: the download resumes. For a server that is slow to start, raise the limit (`--limit idleMs=N`).",
  },
  RANKCAST_TLS: {
    class: "network",
    meaning: "The server's TLS certificate was refused.",
    remedy: "Check the host name and the clock; for a private authority pass its certificate (option ca, or NODE_EXTRA_CA_CERTS).",
  },
  RANKCAST_PROXY: {
    class: "network",
    meaning: "The environment names a proxy that can not be used, or one that refuses.",
    remedy:
      "Use an http:// or https:// proxy in http_proxy, https_proxy or all_proxy, with user and password when it asks for them, or exclude the host with no_proxy.",
  },
  RANKCAST_ADDRESS_BLOCKED: {
    class: "network",
    meaning: "The host's address is private and the caller asked to refuse private addresses.",
    remedy: "Load from a public host, or allow private addresses.",
  },
  RANKCAST_HTTP_AUTH: {
    class: "auth",
    meaning: "The server refused access (401 or 403).",
    remedy: "Pass credentials the server accepts: a token, a header, or user and password in the URL.",
  },
  RANKCAST_HTTP_STATUS: {
    class: "http",
    meaning: "The server answered with an error status.",
    remedy: "Look at the status and the answer's text; 429 and 5xx were tried again already.",
  },
  RANKCAST_HTTP_SHORT: {
    class: "network",
    meaning: "The connection ended before the body was complete, and resuming did not help.",
    remedy: "Load again: the download resumes. If it always ends at the same byte, the server's copy is damaged.",
  },
  RANKCAST_HTTP_LENGTH: {
    class: "http",
    meaning: "The server's declaration of the body's length is missing, doubled, or smaller than the body.",
    remedy: "Report it to the server's owner; a body whose end can not be proved is only accepted with a known SHA-256.",
  },
  RANKCAST_HTTP_ENCODING: {
    class: "http",
    meaning: "The server compressed the body though only the plain file was accepted.",
    remedy: "Turn off content encoding for this file on the server; weights are never inflated behind your back.",
  },
  RANKCAST_HTTP_RANGE: {
    class: "http",
    meaning: "The server answered a range request with another range, or ignores ranges where they are needed.",
    remedy: "Report it to the server's owner; download the file by other means and load it from disk.",
  },
  RANKCAST_HTTP_HTML: {
    class: "http",
    meaning: "The server sent a web page instead of a file.",
    remedy: "Open the URL in a browser: it is probably a login or preview page; find the link to the raw file.",
  },
  RANKCAST_REDIRECT: {
    class: "http",
    meaning: "A redirect leads nowhere, in circles, to another protocol than http and https, or from https to http.",
    remedy: "Use the URL of the file itself.",
  },
  RANKCAST_HASH_MISMATCH: {
    class: "integrity",
    meaning: "The file's digest is not the expected one; what a download brought was removed.",
    remedy: "Fetch it again; if it happens again, the file on the server is not the one that was published.",
  },
  RANKCAST_OFFLINE: {
    class: "cache",
    meaning: "The file is not in the cache and the network may not be used.",
    remedy: "Run `rankcast download` with the network on, or drop --offline (RANKCAST_OFFLINE, HF_HUB_OFFLINE).",
  },
  RANKCAST_CACHE_WRITE: {
    class: "cache",
    meaning: "The cache directory can not be created, locked or written.",
    remedy: "Check owner, permissions and mount of the cache directory, or choose another one (--cache-dir, RANKCAST_HOME).",
  },
  RANKCAST_DISK_FULL: {
    class: "disk-full",
    meaning: "There is not enough space for the file.",
    remedy: "Free space (`rankcast cache prune`), or choose a cache directory on a larger disk (--cache-dir, RANKCAST_HOME).",
  },
  RANKCAST_SCHEME_UNKNOWN: {
    class: "usage",
    meaning: "The weights string starts with a scheme that no loader is registered for.",
    remedy: "Use a registered scheme, or add one with CheckpointLoader.registerScheme.",
  },
  RANKCAST_SCHEME_RESULT: {
    class: "usage",
    meaning: "The loader of a scheme returned something that is neither files nor a state dict of tensors.",
    remedy: "Return what context.resolve(path or URL) gives, or a StateDict; a path is returned as context.resolve(path).",
  },
  RANKCAST_SCHEME_REGISTERED: {
    class: "usage",
    meaning: "A loader for this prefix is registered already.",
    remedy: "Unregister the other one first, or pass { force: true }.",
  },
  RANKCAST_MODEL_UNKNOWN: {
    class: "not-found",
    meaning: "The weight table of a scheme has no such model name.",
    remedy: "Use one of the nearest names, or give the file's URL instead.",
  },
} as const satisfies Record<string, ErrorCodeRow>;
