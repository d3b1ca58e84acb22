/** Several processes and one cache: one download, and nothing wrong however many of them are killed. */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type FetchedFile, fetchToCache, readEnvironment } from "@rankcast/core/internal";
import { expect } from "chai";
import type { ChildRequest } from "../../support/fetch-child.ts";
import { LyingServer, serveFile } from "../../support/lying-server.ts";
import { randomBytes } from "../../support/random-bytes.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const CHILD = fileURLToPath(new URL("../../support/fetch-child.js", import.meta.url));
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

type ChildResult = (FetchedFile & { changes: number; error?: undefined }) | { error: string } | null;

/** The last line; what comes before it only says that the child waits. */
function resultOf(text: string): ChildResult {
  const line = text.split("\n").at(-1) ?? "";
  return line === "" ? null : (JSON.parse(line) as ChildResult);
}

describe("processes that share a cache", function () {
  this.timeout(120_000);
  const directory = temporaryDirectory();
  const bytes = randomBytes(2_000_000);
  let server: LyingServer;
  beforeEach(async () => {
    server = await LyingServer.start(serveFile(bytes, {}, () => server));
  });
  afterEach(() => server.close());

  const cacheDir = (): string => join(directory(), "cache");
  const start = (request: Partial<ChildRequest> = {}): { child: ChildProcess; result: Promise<ChildResult>; said: () => string } => {
    const full: ChildRequest = {
      url: `${server.url}/m.pt`,
      cacheDir: cacheDir(),
      limits: { httpRangeBytes: 262_144, httpRetryMs: 1 },
      ...request,
    };
    const child = spawn(process.execPath, [CHILD, JSON.stringify(full)], { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout?.on("data", (piece: Buffer) => {
      text += piece;
    });
    return { child, result: once(child, "close").then(() => resultOf(text)), said: () => text };
  };
  /** Everything that anybody could read as a cached file is whole and right. */
  const checkNothingPartial = async (): Promise<void> => {
    const names = async (...path: string[]): Promise<string[]> => readdir(join(cacheDir(), ...path)).catch(() => []);
    for (const hash of await names("objects")) {
      for (const name of await names("objects", hash)) {
        const path = join(cacheDir(), "objects", hash, name);
        expect(sha256(await readFile(path))).to.equal(hash);
        expect((await stat(path)).mode & 0o777).to.equal(0o444);
      }
    }
    for (const name of (await names("urls")).filter((each) => each.endsWith(".json"))) {
      const entry = JSON.parse(await readFile(join(cacheDir(), "urls", name), "utf8")) as { sha256: string; name: string };
      expect(sha256(await readFile(join(cacheDir(), "objects", entry.sha256, entry.name)))).to.equal(entry.sha256);
    }
  };
  const succeeds = (result: ChildResult, content = bytes): FetchedFile & { changes: number } => {
    if (result === null || result.error !== undefined) throw new Error(`the child failed: ${JSON.stringify(result)}`);
    expect(result.sha256).to.equal(sha256(content));
    return result;
  };

  it("77: eight at once download once", async () => {
    const results = await Promise.all(Array.from({ length: 8 }, () => start().result));
    const fetched = results.map((each) => succeeds(each));
    expect(server.bytesServed).to.equal(bytes.length);
    expect(server.requests.filter((request) => request.method === "GET").length).to.equal(
      Math.max(...fetched.map((each) => each.origin.requests)),
    );
    expect(fetched.filter((each) => each.origin.cacheHits === 1)).to.have.length(7);
    expect(new Set(fetched.map((each) => each.path)).size).to.equal(1);
  });

  it("79: a lock that stops nobody costs downloads, not correctness", async () => {
    const results = await Promise.all(Array.from({ length: 4 }, () => start({ brokenLock: true }).result));
    for (const result of results) succeeds(result);
    await checkNothingPartial();
    expect(await readdir(join(cacheDir(), "partial"))).to.deep.equal([]);
  });

  it("78: when the holder is killed the next one goes on at once, from where it was", async () => {
    const honest = serveFile(bytes, {}, () => server);
    const limits = { httpRangeBytes: 262_144, httpConnections: 1 };
    const first = start({ limits });
    const stuck: Promise<void> = new Promise((resolve) => {
      server.handler = (request, response, index) => {
        if (index < 5) honest(request, response, index);
        else resolve();
      };
    });
    await stuck;
    server.handler = honest;
    const waiting = start({ limits });
    await new Promise<void>((resolve) => waiting.child.stdout?.once("data", () => resolve()));
    first.child.kill("SIGKILL");
    succeeds(await waiting.result);
    expect(await first.result).to.equal(null);
    expect(await readdir(join(cacheDir(), "partial"))).to.deep.equal([]);
  });

  it("C8: what a killed process had saved is not fetched again", async () => {
    const honest = serveFile(bytes, {}, () => server);
    const { child, result } = start({ limits: { httpRangeBytes: 262_144, httpConnections: 1 } });
    const savedRanges = async (): Promise<number> => {
      const states = (await readdir(join(cacheDir(), "partial"))).filter((name) => name.endsWith(".part.json"));
      const texts = await Promise.all(states.map((name) => readFile(join(cacheDir(), "partial", name), "utf8").catch(() => "{}")));
      return texts.reduce((sum, text) => sum + ((JSON.parse(text) as { ranges?: unknown[] }).ranges?.length ?? 0), 0);
    };
    const saved = new Promise<void>((resolve) => {
      server.handler = (request, response, index) => {
        // The state is saved at most once a second: the sixth part comes later than that, the seventh when the state is there.
        if (index === 5) setTimeout(() => honest(request, response, index), 1_100);
        else if (index < 5) honest(request, response, index);
        else {
          const poll = setInterval(async () => {
            if ((await savedRanges()) === 0) return;
            clearInterval(poll);
            resolve();
          }, 20);
        }
      };
    });
    await saved;
    child.kill("SIGKILL");
    await result;
    server.handler = honest;
    server.bytesServed = 0;
    succeeds(await start().result);
    expect(server.bytesServed).to.be.at.most(bytes.length - 5 * 262_144);
    expect(await readdir(join(cacheDir(), "partial"))).to.deep.equal([]);
  });

  it("80: killed before any single change to the file system, nothing partial is readable and the next one succeeds", async () => {
    let steps = 0;
    for (let killAt = 1; ; killAt += 1) {
      const cache = join(directory(), `step${killAt}`);
      const result = await start({ killAt, cacheDir: cache }).result;
      if (result !== null) {
        steps = succeeds(result).changes;
        expect(killAt).to.equal(steps + 1);
        break;
      }
      const after = await fetchToCache(`${server.url}/m.pt`, { cacheDir: cache, environment: readEnvironment({ HOME: cache }) });
      expect(after.sha256).to.equal(sha256(bytes));
      const left = (await readdir(join(cache, "partial"))).concat(
        await readdir(join(cache, "urls")).then((names) => names.filter((name) => !name.endsWith(".json"))),
      );
      expect(left, `killed at step ${killAt}`).to.deep.equal([]);
    }
    expect(steps).to.be.greaterThan(15);
  });

  it("P7: killed at a hundred random points of one download, nothing partial is ever readable and no lock is left", async function () {
    this.timeout(900_000);
    const seed = Date.now() % 1_000_000;
    const random = randomNumbers(seed);
    let killed = 0;
    let completed = 0;
    // By turns a file that is written by the process itself and one that is large enough for the thread that writes and hashes.
    const contents = [bytes, randomBytes(5_000_000, 3)];
    const urls = contents.map((_, index) => `${server.url}/m${index}.pt`);
    while (killed < 100) {
      // Most points lie in the body; the last fifth lets it arrive, and the kill hits what comes after, or comes too late.
      const content = contents[killed % 2] ?? bytes;
      const url = urls[killed % 2] ?? "";
      const point = random() * content.length * 1.25;
      let sent = 0;
      const { child, result, said } = start({ url, limits: { httpRangeBytes: content.length / 32, httpConnections: 3 } });
      const kill = (): void => void child.kill("SIGKILL");
      const beforePiece = (): boolean => {
        sent += 16_384;
        if (sent >= point) kill();
        else if (sent >= content.length) setTimeout(kill, random() * 40);
        return true;
      };
      server.handler = serveFile(content, { pieceBytes: 16_384, beforePiece });
      const outcome = await result;
      const where = `seed ${seed}, kill ${killed}, byte ${Math.round(point)}`;
      expect(said(), where).to.not.contain("waiting");
      if (child.signalCode === "SIGKILL") killed += 1;
      if (outcome !== null) {
        completed += 1;
        expect(succeeds(outcome, content).sizeBytes, where).to.equal(content.length);
      }
      await checkNothingPartial();
      if (outcome !== null) await rm(cacheDir(), { recursive: true });
    }
    expect(killed).to.equal(100);
    expect(completed).to.be.lessThan(50);
    for (const [index, content] of contents.entries()) {
      server.handler = serveFile(content);
      succeeds(await start({ url: urls[index] ?? "" }).result, content);
    }
    await checkNothingPartial();
    expect(await readdir(join(cacheDir(), "partial"))).to.deep.equal([]);
  });
});

/** Numbers in [0, 1) that follow from a seed (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
