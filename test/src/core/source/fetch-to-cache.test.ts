import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { compileLimits } from "@rankcast/core";
import {
  acquireLockSocket as acquireLock,
  type FetchEvent,
  type FetchedFile,
  type FetchOptions,
  fetchToCache,
  readEnvironment,
} from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { LyingServer, serveFile } from "../../support/lying-server.ts";
import { randomBytes } from "../../support/random-bytes.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("fetchToCache", () => {
  const directory = temporaryDirectory();
  const bytes = randomBytes(300_000);
  let server: LyingServer;
  beforeEach(async () => {
    server = await LyingServer.start(serveFile(bytes, {}, () => server));
  });
  afterEach(() => server.close());

  const limits = compileLimits({ httpRangeBytes: 65_536, idleMs: 9_000, httpRetryMs: 1 });
  const fetch = (path: string, options: FetchOptions = {}): Promise<FetchedFile> =>
    fetchToCache(server.url + path, {
      cacheDir: join(directory(), "cache"),
      limits,
      environment: readEnvironment({ HOME: directory() }),
      ...options,
    });

  it("downloads in parts, verifies, stores read-only, counts what the server saw", async () => {
    const fetched = await fetch("/model.pt");
    expect(await readFile(fetched.path)).to.deep.equal(bytes);
    expect(fetched.sha256).to.equal(sha256(bytes));
    expect(fetched.path).to.match(/objects\/[0-9a-f]{64}\/model\.pt$/);
    expect((await stat(fetched.path)).mode & 0o777).to.equal(0o444);
    expect(fetched.immutable).to.equal(true);
    expect(fetched.origin).to.deep.equal({ requests: 5, bytesNeeded: 300_000, bytesRead: 300_000, retries: 0, cacheHits: 0 });
    expect(server.requests).to.have.length(5);
    expect(server.bytesServed).to.equal(300_000);
    expect(await readdir(join(directory(), "cache", "partial"))).to.deep.equal([]);
    expect((await stat(join(directory(), "cache"))).mode & 0o777).to.equal(0o700);
    for (const request of server.requests) expect(request.headers["accept-encoding"]).to.equal("identity");
  });

  it("takes the second time from the cache after asking whether it changed", async () => {
    await fetch("/model.pt");
    const before = server.requests.length;
    const again = await fetch("/model.pt");
    expect(again.origin).to.deep.equal({ requests: 1, bytesNeeded: 0, bytesRead: 0, retries: 0, cacheHits: 1 });
    expect(server.requests.slice(before).map((each) => each.method)).to.deep.equal(["HEAD"]);
    server.handler = serveFile(randomBytes(300_000, 7));
    const changed = await fetch("/model.pt");
    expect(changed.sha256).to.equal(sha256(randomBytes(300_000, 7)));
    expect(changed.origin).to.include({ cacheHits: 0, bytesRead: 300_000 });
  });

  it("looks again under the lock: another may have finished between the look and the lock", async () => {
    const late = async (request: Parameters<typeof acquireLock>[0]) => {
      await fetch("/model.pt");
      return acquireLock(request);
    };
    const fetched = await fetch("/model.pt", { lock: late });
    expect(fetched.origin).to.deep.equal({ requests: 0, bytesNeeded: 0, bytesRead: 0, retries: 0, cacheHits: 1 });
    expect(server.bytesServed).to.equal(bytes.length);
    // The server has something newer now, and the other brings it.
    const newer = randomBytes(300_000, 7);
    server.handler = serveFile(newer);
    expect((await fetch("/model.pt", { lock: late })).sha256).to.equal(sha256(newer));
  });

  it("a holder that was waited for and gave up has made nothing: what the cache had before is not taken for its file", async () => {
    await fetch("/model.pt");
    const newer = randomBytes(300_000, 7);
    server.handler = serveFile(newer);
    const gaveUp = async (request: Parameters<typeof acquireLock>[0]) => {
      const lock = await acquireLock(request);
      return { waited: true, tell: () => undefined, release: (failure?: unknown) => lock.release(failure) };
    };
    expect((await fetch("/model.pt", { lock: gaveUp })).sha256).to.equal(sha256(newer));
  });

  it("does not ask when a digest pins the content, nor offline, nor when told not to", async () => {
    const digest = sha256(bytes);
    const named = `/model-${digest.slice(0, 8)}.pth`;
    await fetch(named);
    await fetch("/plain.pt");
    const before = server.requests.length;
    expect((await fetch(named)).origin.cacheHits).to.equal(1);
    await fetch("/plain.pt", { sha256: digest });
    await fetch("/plain.pt", { offline: true });
    await fetch("/plain.pt", { revalidate: false });
    expect(server.requests).to.have.length(before);
    const error = await expectError("RANKCAST_OFFLINE", fetch("/other.pt", { offline: true }));
    expect(error.class).to.equal("cache");
  });

  it("serves the cache with a notice when the server can not be asked", async () => {
    await fetch("/model.pt");
    const events: FetchEvent[] = [];
    server.handler = (_, response) => response.writeHead(503).end();
    expect((await fetch("/model.pt", { onProgress: (event) => events.push(event) })).sha256).to.equal(sha256(bytes));
    expect(events).to.have.length(1);
    expect(events[0]).to.include({ type: "notice", code: "RANKCAST_CACHE_UNCONFIRMED" });
    server.handler = (_, response) => response.writeHead(404).end();
    await expectError("RANKCAST_NOT_FOUND", fetch("/model.pt"));
  });

  it("keeps one entry per URL, never per last segment, and one object per content", async () => {
    const other = randomBytes(1000, 3);
    server.handler = (request, response, index) => serveFile(request.url?.startsWith("/b/") ? other : bytes)(request, response, index);
    const one = await fetch("/a/model.pt");
    const two = await fetch("/b/model.pt");
    const three = await fetch("/c/renamed.pt");
    expect(two.sha256).to.equal(sha256(other));
    expect(three.path).to.equal(one.path);
  });

  it("hashes a cached file again when it looks different, and drops a damaged one", async () => {
    const fetched = await fetch("/model.pt");
    const copy = await readFile(fetched.path);
    copy[5] = (copy[5] ?? 0) ^ 1;
    const { rm } = await import("node:fs/promises");
    await rm(fetched.path);
    await writeFile(fetched.path, copy);
    const before = server.requests.length;
    const again = await fetch("/model.pt", { revalidate: false });
    expect(await readFile(again.path)).to.deep.equal(bytes);
    expect(server.requests.length).to.be.greaterThan(before);
  });

  it("uses torch.hub's file when a digest proves it, and only then", async () => {
    const digest = sha256(bytes);
    const hub = join(directory(), ".cache", "torch", "hub", "checkpoints");
    await mkdir(hub, { recursive: true });
    await writeFile(join(hub, `m-${digest.slice(0, 10)}.pth`), bytes);
    await writeFile(join(hub, "plain.pth"), bytes);
    const fetched = await fetch(`/m-${digest.slice(0, 10)}.pth`, { offline: true });
    expect(fetched).to.include({ path: join(hub, `m-${digest.slice(0, 10)}.pth`), immutable: false, sha256: digest });
    await expectError("RANKCAST_OFFLINE", fetch("/plain.pth", { offline: true }));
    expect((await fetch("/plain.pth", { offline: true, sha256: digest })).path).to.equal(join(hub, "plain.pth"));
    await writeFile(join(hub, `m-${digest.slice(0, 10)}.pth`), "damaged");
    await expectError("RANKCAST_OFFLINE", fetch(`/m-${digest.slice(0, 10)}.pth`, { offline: true }));
  });

  it("tells bytes, total, rate and remaining time", async () => {
    const events: FetchEvent[] = [];
    await fetch("/model.pt", { onProgress: (event) => events.push(event) });
    const last = events.at(-1);
    expect(last).to.include({ type: "progress", bytesDone: 300_000, bytesTotal: 300_000, retries: 0, name: `${server.url}/model.pt` });
    expect(last).to.have.property("bytesPerSecond").above(0);
  });

  it("stops when told, and continues where it stopped", async () => {
    const controller = new AbortController();
    let served = 0;
    server.handler = (request, response, index) => {
      served += 1;
      if (served === 3) controller.abort();
      else serveFile(bytes)(request, response, index);
    };
    const caught = await fetch("/model.pt", {
      signal: controller.signal,
      limits: compileLimits({ httpRangeBytes: 65_536, httpConnections: 1 }),
    }).catch((error: unknown) => error);
    expect(caught).to.have.property("name", "AbortError");
    expect((await readdir(join(directory(), "cache", "partial"))).filter((name) => name.endsWith(".part"))).to.have.length(1);
    server.handler = serveFile(bytes, {}, () => server);
    server.bytesServed = 0;
    expect((await fetch("/model.pt")).sha256).to.equal(sha256(bytes));
    expect(server.bytesServed).to.equal(300_000 - 2 * 65_536);
    expect(await readdir(join(directory(), "cache", "partial"))).to.deep.equal([]);
  });

  it("fetches empty files", async () => {
    server.handler = serveFile(Buffer.alloc(0));
    expect((await fetch("/empty.pt")).sizeBytes).to.equal(0);
  });
});
