/** The Hugging Face hub's protocol over a few files in memory: resolve with a redirect to a storage server, revision lists, tokens. */
import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { LyingServer, serveFile } from "./lying-server.ts";

export const COMMIT = "0123456789abcdef0123456789abcdef01234567";

export interface FakeHub {
  readonly hub: LyingServer;
  /** Where large files are redirected to. */
  readonly storage: LyingServer;
  /** A push to `main`: what it stands for from now on. The files are those of the map that the hub was started with. */
  push(commit: string): void;
  close(): Promise<void>;
}

const gitId = (bytes: Buffer): string => createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");

/** What the hub's own clients ask before they download: JavaScript's for some paths, Python's for all. */
async function answerPaths(
  request: IncomingMessage,
  response: ServerResponse,
  files: ReadonlyMap<string, Buffer>,
  commit: string,
): Promise<void> {
  let body = "";
  for await (const piece of request) body += String(piece);
  const { paths } = body === "" ? { paths: [...files.keys()] } : (JSON.parse(body) as { paths: string[] });
  const found = paths.map((path) => {
    const bytes = files.get(path) ?? Buffer.alloc(0);
    const lfs = { oid: createHash("sha256").update(bytes).digest("hex"), size: bytes.length, pointerSize: 100 };
    return {
      path,
      type: "file",
      oid: gitId(bytes),
      size: bytes.length,
      ...(body === "" ? {} : { lastCommit: { id: commit } }),
      ...(bytes.length > 100 ? { lfs } : {}),
    };
  });
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(found));
}

/**
 * Files above 100 bytes count as large (LFS). `token` makes the repository private. `storageHost` is another name of this machine for the storage server:
 * Python's client takes what a redirect to the hub's own host says for the hub's answer.
 */
export async function startHub(
  repo: string,
  files: ReadonlyMap<string, Buffer>,
  token?: string,
  storageHost = "127.0.0.1",
): Promise<FakeHub> {
  let head = COMMIT;
  const storage = await LyingServer.start((request, response, index) => {
    const path = decodeURIComponent(new URL(request.url ?? "", "http://x").pathname.slice(1));
    serveFile(files.get(path) ?? Buffer.alloc(0), {}, () => storage)(request, response, index);
  });
  const hub = await LyingServer.start((request, response, index) => answer(request, response, index));
  const refuse = (response: ServerResponse, status: number, code: string): unknown =>
    response.writeHead(status, { "x-error-code": code, "x-error-message": `${code} it is.` }).end();
  const answer = (request: IncomingMessage, response: ServerResponse, index: number): unknown => {
    const path = decodeURIComponent(new URL(request.url ?? "", "http://x").pathname);
    if (token !== undefined && request.headers.authorization !== `Bearer ${token}`) return refuse(response, 401, "RepoNotFound");
    const list = new RegExp(`^/api/models/${repo}/revision/(.+)$`).exec(path);
    if (list) {
      const siblings = [...files.keys()].map((rfilename) => ({ rfilename }));
      return response.end(JSON.stringify({ id: repo, sha: head, siblings }));
    }
    if (path.startsWith(`/api/models/${repo}/paths-info/`) || path.startsWith(`/api/models/${repo}/tree/`))
      return answerPaths(request, response, files, head);
    const file = new RegExp(`^/${repo}/resolve/(main|v1|refs/pr/2|${head})/(.+)$`).exec(path)?.[2];
    const bytes = file === undefined ? undefined : files.get(file);
    if (file === undefined || bytes === undefined) return refuse(response, 404, file === undefined ? "RepoNotFound" : "EntryNotFound");
    response.setHeader("x-repo-commit", head);
    if (bytes.length <= 100) {
      return serveFile(bytes, { etag: `"${gitId(bytes)}"` })(request, response, index);
    }
    response.setHeader("x-linked-etag", `"${createHash("sha256").update(bytes).digest("hex")}"`);
    response.setHeader("x-linked-size", bytes.length);
    return response
      .writeHead(302, { location: `${storage.url.replace("127.0.0.1", storageHost)}/${encodeURIComponent(file)}?X-Amz-Signature=hidden` })
      .end();
  };
  return {
    hub,
    storage,
    push: (commit) => {
      head = commit;
    },
    async close() {
      await hub.close();
      await storage.close();
    },
  };
}
