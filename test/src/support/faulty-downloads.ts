/** What every test of a lying server needs: the server, a small file, and the two outcomes a download may have. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type CheckpointError, compileLimits, type Limits } from "@rankcast/core";
import { type FetchEvent, type FetchedFile, type FetchOptions, fetchToCache, readEnvironment } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "./expect-error.ts";
import { LyingServer, serveFile } from "./lying-server.ts";
import { randomBytes } from "./random-bytes.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/** The tag `serveFile` gives these bytes. */
export function strongEtag(bytes: Uint8Array): string {
  return `"${createHash("md5").update(bytes).digest("hex")}"`;
}

/** Registers a fresh server per test in the surrounding `describe`. */
export function faultyDownloads() {
  const directory = temporaryDirectory();
  const bytes = randomBytes(200_000);
  const events: FetchEvent[] = [];
  let server: LyingServer;
  beforeEach(async () => {
    events.length = 0;
    server = await LyingServer.start(serveFile(bytes));
  });
  afterEach(() => server.close());

  const limits = (overrides: Partial<Record<string, number>> = {}): Limits =>
    compileLimits({ httpRangeBytes: 65_536, idleMs: 9_000, httpRetryMs: 1, httpConnections: 4, ...overrides });
  const fetch = (options: FetchOptions = {}, path = "/model.pt"): Promise<FetchedFile> =>
    fetchToCache(server.url + path, {
      cacheDir: join(directory(), "cache"),
      limits: limits(),
      environment: readEnvironment({ HOME: directory() }),
      onProgress: (event) => events.push(event),
      ...options,
    });
  const leftovers = (): Promise<string[]> => readdir(join(directory(), "cache", "partial")).catch(() => []);
  const stored = (): Promise<string[]> => readdir(join(directory(), "cache", "objects")).catch(() => []);
  return {
    bytes,
    events,
    directory,
    limits,
    fetch,
    leftovers,
    stored,
    /** The current test's server. */
    origin: (): LyingServer => server,
    /** How often a request was sent again. */
    retries: (): number => events.filter((event) => event.type === "retry").length,
    /** Downloads the right bytes and leaves nothing else behind. */
    async succeeds(options?: FetchOptions): Promise<FetchedFile> {
      const fetched = await fetch(options);
      expect(await readFile(fetched.path)).to.deep.equal(bytes);
      expect(await leftovers()).to.deep.equal([]);
      return fetched;
    },
    /** Fails, and nothing can be mistaken for the file afterwards; only trouble of the network may leave bytes for the next try. */
    async refuses(code: string, options?: FetchOptions): Promise<CheckpointError> {
      const error = await expectError(code, fetch(options));
      expect(await stored()).to.deep.equal([]);
      const parts = (await leftovers()).filter((name) => name.endsWith(".part"));
      expect(parts.length).to.be.at.most(error.class === "network" ? 1 : 0);
      return error;
    },
  };
}
