import { createHash } from "node:crypto";
import { chmod, mkdir, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { compileLimits } from "@rankcast/core";
import {
  cacheLayout,
  type FetchedFile,
  type FetchOptions,
  fetchToCache,
  listCache,
  pruneCache,
  readEnvironment,
  removeFromCache,
  verifyCache,
} from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { LyingServer, serveFile } from "../../support/lying-server.ts";
import { randomBytes } from "../../support/random-bytes.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("cache upkeep", () => {
  const directory = temporaryDirectory();
  const bytes = randomBytes(100_000);
  let server: LyingServer;
  beforeEach(async () => {
    server = await LyingServer.start((request, response, index) =>
      serveFile(request.url?.includes("other") ? bytes.subarray(7) : bytes)(request, response, index),
    );
  });
  afterEach(() => server.close());
  const environment = () => readEnvironment({ HOME: directory() });
  const layout = () => cacheLayout(environment());
  const fetch = (path: string, options: FetchOptions = {}): Promise<FetchedFile> =>
    fetchToCache(server.url + path, { environment: environment(), limits: compileLimits({ httpRetryMs: 1, httpAttempts: 1 }), ...options });
  const urls = async (): Promise<string[]> => (await listCache(layout())).map((each) => new URL(each.entry.url).pathname).sort();

  it("lists, verifies and removes by URL, digest and path", async () => {
    const one = await fetch("/a.pt?secret=1");
    const two = await fetch("/b.pt");
    const three = await fetch("/other.pt");
    expect(await urls()).to.deep.equal(["/a.pt", "/b.pt", "/other.pt"]);
    await chmod(three.path, 0o644);
    await writeFile(three.path, "damaged");
    const verified = await verifyCache(layout());
    expect(verified.map((each) => each.state).sort()).to.deep.equal(["damaged", "ok", "ok"]);
    await verifyCache(layout(), { remove: true });
    expect(await urls()).to.deep.equal(["/a.pt", "/b.pt"]);
    // Both URLs share one object, which goes with the second.
    expect(await removeFromCache(layout(), `${server.url}/a.pt?secret=1`)).to.deep.equal({ urls: [`${server.url}/a.pt`], freedBytes: 0 });
    expect(await readFile(one.path)).to.deep.equal(bytes);
    expect((await removeFromCache(layout(), two.sha256.slice(0, 8))).freedBytes).to.equal(100_000);
    await expectError("RANKCAST_NOT_FOUND", removeFromCache(layout(), two.path));
    expect(await readdir(layout().objects)).to.deep.equal([]);
  });

  it("prunes what is dead, old, or too much, and nothing else", async () => {
    await fetch("/a.pt");
    const other = await fetch("/other.pt");
    const cached = await listCache(layout());
    const old = cached.find((each) => each.entry.url.endsWith("/a.pt"));
    await utimes(join(layout().urls, `${old?.entry.key}.json`), 1, 1);
    server.handler = (_, response) => response.destroy();
    await fetch("/broken.pt").catch(() => undefined);
    const orphan = join(layout().objects, "0".repeat(64));
    await mkdir(orphan);
    await writeFile(join(orphan, "x"), "123");
    await utimes(orphan, 1, 1);
    expect(await pruneCache(layout())).to.deep.equal({ urls: [], freedBytes: 3 });
    expect(await readdir(layout().partial)).to.deep.equal([]);
    expect((await pruneCache(layout(), { maxBytes: 150_000 })).urls).to.deep.equal([`${server.url}/a.pt`]);
    expect(await urls()).to.deep.equal(["/other.pt"]);
    expect((await pruneCache(layout(), { unusedForMs: 1000, nowMs: Date.now() + 5000 })).freedBytes).to.equal(other.sizeBytes);
    expect(await urls()).to.deep.equal([]);
  });

  it("removes a free partial download when pruned", async () => {
    server.handler = (request, response, index) =>
      serveFile(bytes, { pieceBytes: 10_000, beforePiece: (sent) => sent < 50_000 })(request, response, index);
    await expectError("RANKCAST_HTTP_SHORT", fetch("/cut.pt"));
    expect(await readdir(layout().partial)).to.have.length(2);
    expect((await pruneCache(layout())).freedBytes).to.equal(50_000);
    expect(await readdir(layout().partial)).to.deep.equal([]);
  });

  it("76: says when it can not be written, and when it vanishes half-way", async () => {
    await writeFile(join(directory(), "file"), "");
    const blocked = await expectError("RANKCAST_CACHE_WRITE", fetch("/a.pt", { cacheDir: join(directory(), "file", "cache") }));
    expect(blocked.class).to.equal("cache");
    // The second one is large enough to be written by a thread.
    for (const content of [bytes, randomBytes(5_000_000, 5)]) {
      const honest = serveFile(content);
      server.handler = (request, response, index) =>
        void rm(layout().root, { recursive: true, force: true }).then(() => honest(request, response, index));
      await expectError("RANKCAST_CACHE_WRITE", fetch("/a.pt"));
      server.handler = honest;
      expect((await fetch("/a.pt")).sha256).to.equal(sha256(content));
    }
  });
});
