import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, mkdir, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compileLimits, SourceError } from "@rankcast/core";
import {
  acquireLockFile,
  acquireLockSocket,
  cacheLayout,
  type FetchedFile,
  type FetchOptions,
  fetchToCache,
  hashFile,
  listCache,
  pruneCache,
  readEnvironment,
  removeFromCache,
  SilenceWatch,
  startHash,
  torchHubDirectory,
  verifyCache,
} from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { stepInto } from "../../support/file-system-steps.ts";
import { LyingServer, serveFile } from "../../support/lying-server.ts";
import { randomBytes } from "../../support/random-bytes.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const CHILD = fileURLToPath(new URL("../../support/fetch-child.js", import.meta.url));

describe("cache directory", () => {
  it("follows torch's precedence with ours in front", () => {
    const root = (variables: Record<string, string>, option?: string) =>
      cacheLayout(readEnvironment({ HOME: "/h", ...variables }), option).root;
    expect(root({ RANKCAST_HOME: "/r", TORCH_HOME: "/t" }, "/o")).to.equal("/o");
    expect(root({ RANKCAST_HOME: "~/r", TORCH_HOME: "/t" })).to.equal("/h/r");
    expect(root({ TORCH_HOME: "/t", XDG_CACHE_HOME: "/x" })).to.equal("/t/rankcast");
    expect(root({ XDG_CACHE_HOME: "/x" })).to.equal("/x/rankcast");
    expect(root({ RANKCAST_HOME: "", TORCH_HOME: "", XDG_CACHE_HOME: "" })).to.equal("/h/.cache/rankcast");
    const hub = (variables: Record<string, string>) => torchHubDirectory(readEnvironment({ HOME: "/h", ...variables }));
    expect(hub({ TORCH_HOME: "~/t" })).to.equal("/h/t/hub/checkpoints");
    expect(hub({ XDG_CACHE_HOME: "/x" })).to.equal("/x/torch/hub/checkpoints");
    expect(hub({})).to.equal("/h/.cache/torch/hub/checkpoints");
  });
});

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
    const honest = serveFile(bytes);
    server.handler = (request, response, index) => void rm(layout().root, { recursive: true }).then(() => honest(request, response, index));
    await expectError("RANKCAST_CACHE_WRITE", fetch("/a.pt"));
    server.handler = honest;
    expect((await fetch("/a.pt")).sha256).to.equal(sha256(bytes));
  });
});

describe("74, 75: when the system runs out", function () {
  this.timeout(30_000);
  const directory = temporaryDirectory();
  const bytes = randomBytes(2 * 2 ** 20);
  let server: LyingServer;
  beforeEach(async () => {
    server = await LyingServer.start(serveFile(bytes));
  });
  afterEach(() => server.close());

  /** Runs the fetching child under a shell prefix; resolves with what it printed. */
  const run = async (shell: (child: string) => string): Promise<{ error?: string; sha256?: string }> => {
    const request = JSON.stringify({ url: `${server.url}/m.pt`, cacheDir: join(directory(), "cache"), limits: { httpRetryMs: 1 } });
    const child = spawn("sh", ["-c", shell(`${process.execPath} ${CHILD} '${request}'`)], { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    for await (const piece of child.stdout) text += piece;
    return JSON.parse(text.split("\n")[0] ?? "") as { error?: string };
  };
  const canMount = (): boolean => {
    try {
      execFileSync("unshare", ["-rm", "mount", "-t", "tmpfs", "none", "/mnt"], { stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  };

  it("of disk space, known before or found in the middle, the error says so and nothing is left", async function () {
    if (!canMount()) this.skip();
    await mkdir(join(directory(), "cache"));
    const cache = join(directory(), "cache");
    const onSmallDisk = (child: string): string =>
      `unshare -rm sh -c 'mount -t tmpfs -o size=1m none ${cache} && ${child.replaceAll("'", "'\\''")}; echo; find ${cache} -name "*.part*" -o -name "*.tmp"'`;
    expect(await run(onSmallDisk)).to.deep.equal({ error: "RANKCAST_DISK_FULL" });
    expect(server.requests).to.have.length(1);
    server.handler = (_, response) => response.writeHead(200, { "transfer-encoding": "chunked" }).end(bytes);
    expect(await run(onSmallDisk)).to.deep.equal({ error: "RANKCAST_DISK_FULL" });
  });

  for (const code of ["ENOSPC", "EMFILE", "EIO"]) {
    it(`with ${code} at any single step, the error is typed, nothing partial is left, and the next try succeeds`, async () => {
      const expected = code === "ENOSPC" ? ["RANKCAST_DISK_FULL"] : ["RANKCAST_CACHE_WRITE", "RANKCAST_FILE_UNREADABLE"];
      const options = {
        limits: compileLimits({ httpRangeBytes: 2 ** 20, httpConnections: 1 }),
        environment: readEnvironment({ HOME: directory() }),
      };
      let failed = 0;
      for (let failAt = 1; ; failAt += 1) {
        const cacheDir = join(directory(), `${code}${failAt}`);
        let steps = 0;
        const restore = await stepInto((method) => {
          steps += 1;
          if (steps === failAt) throw Object.assign(new Error(`${code} in ${method}`), { code });
        });
        const outcome = await fetchToCache(`${server.url}/m.pt`, { ...options, cacheDir }).catch((error: unknown) => error);
        restore();
        if (outcome instanceof SourceError) {
          failed += 1;
          expect(outcome.code, `step ${failAt}`).to.be.oneOf(expected);
          expect(await readdir(join(cacheDir, "partial")).catch(() => []), `step ${failAt}`).to.deep.equal([]);
        } else {
          // What failed was no more than a help (a saved state, a synced directory).
          expect(outcome, `step ${failAt}: ${String(outcome)}`).to.have.property("sha256", sha256(bytes));
        }
        if (failAt > steps) break;
        expect((await fetchToCache(`${server.url}/m.pt`, { ...options, cacheDir })).sha256).to.equal(sha256(bytes));
      }
      expect(failed).to.be.greaterThan(12);
    });
  }
});

describe("locks", () => {
  const directory = temporaryDirectory();
  for (const [name, acquire] of [
    ["socket", acquireLockSocket],
    ["file", acquireLockFile],
  ] as const) {
    it(`of the ${name} kind let one in at a time, and different keys at once`, async () => {
      let inside = 0;
      let most = 0;
      const work = async (key: string): Promise<void> => {
        const lock = await acquire({ root: directory(), key, idleMs: 5_000 });
        inside += 1;
        most = Math.max(most, inside);
        await new Promise((resolve) => setImmediate(resolve));
        inside -= 1;
        await lock.release();
        await lock.release();
      };
      await Promise.all([1, 2, 3, 4].map(() => work("a")));
      expect(most).to.equal(1);
      const one = await acquire({ root: directory(), key: "a", idleMs: 5_000 });
      await (await acquire({ root: directory(), key: "b", idleMs: 5_000 })).release();
      await one.release();
    });

    it(`of the ${name} kind stop waiting when told`, async () => {
      const lock = await acquire({ root: directory(), key: "a", idleMs: 5_000 });
      const controller = new AbortController();
      const waiting = acquire({ root: directory(), key: "a", idleMs: 5_000, signal: controller.signal }).catch((error: unknown) => error);
      setImmediate(() => controller.abort());
      expect(await waiting).to.have.property("name", "AbortError");
      await lock.release();
    });
  }

  it("show waiting ones the holder's progress and its failure, if the server is at fault", async () => {
    const lock = await acquireLockSocket({ root: directory(), key: "a", idleMs: 5_000 });
    lock.tell({ bytesDone: 3, bytesTotal: 9 });
    const seen: unknown[] = [];
    const told = new Promise<void>((resolve) => {
      const waiting = acquireLockSocket({
        root: directory(),
        key: "a",
        idleMs: 5_000,
        onWait: (progress) => {
          seen.push(progress);
          resolve();
        },
      });
      void expectError("RANKCAST_NETWORK_SILENT", waiting).then(() => seen.push("failed"));
    });
    await told;
    await lock.release(new SourceError("RANKCAST_NETWORK_SILENT", "silent"));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(seen[0]).to.deep.equal({ bytesDone: 3, bytesTotal: 9 });
    expect(seen.at(-1)).to.equal("failed");
    const next = await acquireLockSocket({ root: directory(), key: "a", idleMs: 5_000 });
    const other = acquireLockSocket({ root: directory(), key: "a", idleMs: 5_000 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    await next.release(new SourceError("RANKCAST_HTTP_AUTH", "whose credentials?"));
    expect((await other).waited).to.equal(true);
    await (await other).release();
  });

  it("are passed over when the holder gives no sign of life", async () => {
    await mkdir(join(directory(), "locks"), { recursive: true });
    await writeFile(join(join(directory(), "locks"), "a.lock"), "unreadable");
    await utimes(join(join(directory(), "locks"), "a.lock"), 1, 1);
    await (await acquireLockFile({ root: directory(), key: "a", idleMs: 1_000 })).release();
    await writeFile(join(join(directory(), "locks"), "b.lock"), JSON.stringify({ tag: "x", owner: { ...(await deadOwner()) } }));
    const lock = await acquireLockFile({ root: directory(), key: "b", idleMs: 60_000 });
    await lock.release();
    expect((await readdir(join(directory(), "locks"))).filter((name) => name.startsWith("b"))).to.deep.equal([]);
  });
});

/** A process that is certainly gone. */
async function deadOwner() {
  const { processIdentity } = await import("@rankcast/core/internal");
  return { ...processIdentity(), startTime: "1" };
}

describe("hashing in a thread", () => {
  const directory = temporaryDirectory();

  it("follows a file that grows, several at once, with several algorithms", async () => {
    const bytes = randomBytes(9_000_000);
    const path = join(directory(), "f");
    await writeFile(path, bytes);
    const both = startHash(path, ["sha256", "md5"]);
    for (let available = 0; available < bytes.length; available += 1_000_000) both.available(available);
    const prefixed = startHash(path, ["git-sha1"], bytes.length);
    const [digests, git, whole] = await Promise.all([
      both.finish(bytes.length),
      prefixed.finish(bytes.length),
      hashFile(path, bytes.length),
    ]);
    expect(digests.get("sha256")).to.equal(sha256(bytes));
    expect(whole).to.equal(sha256(bytes));
    expect(digests.get("md5")).to.equal(createHash("md5").update(bytes).digest("hex"));
    expect(git.get("git-sha1")).to.equal(createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex"));
  });

  it("fails when the file is missing or shorter, and can be cancelled", async () => {
    await expectError("RANKCAST_FILE_UNREADABLE", hashFile(join(directory(), "none"), 5));
    await writeFile(join(directory(), "short"), "123");
    await expectError("RANKCAST_FILE_UNREADABLE", hashFile(join(directory(), "short"), 5));
    startHash(join(directory(), "short")).cancel();
    expect(await hashFile(join(directory(), "short"), 3)).to.equal(sha256(Buffer.from("123")));
    const aborted = await hashFile(join(directory(), "short"), 3, AbortSignal.abort()).catch((error: unknown) => error);
    expect(aborted).to.have.property("name", "AbortError");
  });
});

describe("SilenceWatch", () => {
  it("does not take a blocked event loop for silence", async () => {
    const server = await LyingServer.start((_, response) => response.end("x"));
    let fired = false;
    const watch = new SilenceWatch(50, () => {
      fired = true;
    });
    const { get } = await import("node:http");
    const answered = new Promise<void>((resolve) => {
      get(server.url, (response) => {
        watch.pause();
        response.resume();
        resolve();
      });
    });
    watch.await();
    // The answer comes from this process too, so the block begins when the request is already answered.
    await new Promise<void>((resolve) => {
      const inner = server.handler;
      server.handler = (request, response, index) => {
        inner(request, response, index);
        response.on("finish", () => {
          const until = performance.now() + 120;
          while (performance.now() < until);
          resolve();
        });
      };
    });
    await answered;
    expect(fired).to.equal(false);
    watch.await();
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(fired).to.equal(true);
    watch.close();
    await server.close();
  });
});
