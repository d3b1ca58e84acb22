/** The hub's HTTP protocol: where files are, which version they have, what a repository holds. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Environment } from "../environment/environment.ts";
import { SourceError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import { type LocatedResponse, send } from "../source/http-request.ts";
import type { HttpSession } from "../source/http-session.ts";
import { parseHttpUrl } from "../source/http-url.ts";
import { resolveLocalPath } from "../source/local-path.ts";
import { readJson } from "../source/read-json.ts";
import { responseError } from "../source/response-error.ts";
import { withRetries } from "../source/with-retries.ts";
import type { HubLocation } from "./hugging-face-location.ts";

/** One file of one commit. */
export interface HubFile {
  readonly commit: string;
  /** Name of its blob: SHA-256 of large files, git blob id of small ones. */
  readonly etag: string;
  readonly sizeBytes: number | null;
}

/** What a revision holds. */
export interface HubRevision {
  readonly commit: string;
  /** All paths. */
  readonly files: readonly string[];
}

const DEFAULT_ENDPOINT = "https://huggingface.co";

/** `HF_HOME`, `$XDG_CACHE_HOME/huggingface` or `~/.cache/huggingface`. */
export function huggingFaceHome(environment: Environment): string {
  const home = environment.huggingFace.home ?? join(environment.xdgCacheHome ?? join(environment.home, ".cache"), "huggingface");
  return resolveLocalPath(home, environment.home);
}

/** The token to send: the caller's, `HF_TOKEN`, or the one `hf auth login` stored, unless implicit tokens are switched off. */
export async function hubToken(environment: Environment, given: string | undefined): Promise<string | undefined> {
  const { token, tokenPath, noImplicitToken } = environment.huggingFace;
  if (given !== undefined || noImplicitToken) return given;
  if (token !== undefined) return token;
  const stored = await readFile(resolveLocalPath(tokenPath ?? join(huggingFaceHome(environment), "token"), environment.home), "utf8").catch(
    () => "",
  );
  return stored.trim() === "" ? undefined : stored.trim();
}

/** URL of a file: `/<repo>/resolve/<revision>/<path>`. */
export function resolveUrl(environment: Environment, location: HubLocation, revision: string, path: string): string {
  const kind = location.kind === "models" ? "" : `${location.kind}/`;
  return `${endpoint(environment)}/${kind}${location.repo}/resolve/${encodeURIComponent(revision)}/${path.split("/").map(encodeURIComponent).join("/")}`;
}

/**
 * Version of a file, without fetching it. The hub answers with a redirect to its storage that already says everything.
 * @throws {SourceError} RANKCAST_NOT_FOUND, RANKCAST_HTTP_AUTH with the hub's own words; as `send`.
 */
export async function headFile(
  session: HttpSession,
  environment: Environment,
  location: HubLocation,
  revision: string,
  path: string,
): Promise<HubFile> {
  const target = parseHttpUrl(resolveUrl(environment, location, revision, path));
  return withRetries(session, target.name, session.signal, async (idleMs) => {
    const response = await send(session, target, { method: "HEAD", sameOriginOnly: true, idleMs });
    if (response.status >= 400) throw await hubError(target.name, response);
    response.discard();
    const commit = response.header("x-repo-commit");
    const etag = (response.header("x-linked-etag") ?? response.header("etag"))
      ?.trim()
      .replace(/^W\//, "")
      .replace(/^"(.*)"$/, "$1");
    const size = response.header("x-linked-size") ?? (response.status === 200 ? response.header("content-length") : null);
    if (commit === null || !/^[0-9a-f]{40}$/.test(commit) || etag === undefined || !/^[A-Za-z0-9._-]{1,200}$/.test(etag)) {
      throw new SourceError(
        "RANKCAST_HTTP_STATUS",
        `${printable(target.name)}: the answer has no X-Repo-Commit and ETag; is the endpoint a hub?`,
        {
          details: { url: target.name, status: response.status },
        },
      );
    }
    return { commit, etag, sizeBytes: size !== null && /^\d+$/.test(size) ? Number(size) : null };
  });
}

/**
 * Commit and files of a revision.
 * @throws {SourceError} as `headFile`; {FormatError} RANKCAST_LIMIT for an absurd list.
 */
export async function listRevision(session: HttpSession, environment: Environment, location: HubLocation): Promise<HubRevision> {
  const url = `${endpoint(environment)}/api/${location.kind}/${location.repo}/revision/${encodeURIComponent(location.revision)}`;
  const target = parseHttpUrl(url);
  return withRetries(session, target.name, session.signal, async (idleMs) => {
    const response = await send(session, target, { idleMs });
    if (response.status !== 200) throw await hubError(target.name, response);
    const answer = (await readJson(session, response)) as { sha?: unknown; siblings?: unknown };
    const names = Array.isArray(answer.siblings) ? answer.siblings.map((each: { rfilename?: unknown }) => each?.rfilename) : null;
    if (
      typeof answer.sha !== "string" ||
      !/^[0-9a-f]{40}$/.test(answer.sha) ||
      names === null ||
      !names.every((name) => typeof name === "string")
    ) {
      throw new SourceError("RANKCAST_HTTP_STATUS", `${printable(target.name)}: expected a commit and a list of files`, {
        details: { url: target.name, status: 200 },
      });
    }
    return { commit: answer.sha, files: names };
  });
}

function endpoint(environment: Environment): string {
  return (environment.huggingFace.endpoint ?? DEFAULT_ENDPOINT).replace(/\/+$/, "");
}

/** The hub hides private repositories behind 401, and says in headers what is wrong. */
async function hubError(name: string, response: LocatedResponse): Promise<SourceError> {
  const said = [response.header("x-error-code"), response.header("x-error-message")].filter((each) => each !== null).join(": ");
  const error = await responseError(name, response);
  const remedy =
    error.code === "RANKCAST_HTTP_AUTH"
      ? "Check the repository's name; for a private or gated one accept its terms and pass a token (HF_TOKEN, or `hf auth login`)."
      : "Check repository, revision and path on the hub.";
  const message =
    said === "" ? error.message : `${printable(name)}: the server answered ${response.status}: ${printable(said).slice(0, 300)}`;
  return new SourceError(error.code, message, {
    details: error.details,
    ...(response.status < 500 && response.status !== 429 ? { remedy } : {}),
  });
}
