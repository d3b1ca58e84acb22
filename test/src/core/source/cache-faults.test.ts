import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compileLimits, SourceError } from "@rankcast/core";
import { fetchToCache, readEnvironment } from "@rankcast/core/internal";
import { expect } from "chai";
import { stepInto } from "../../support/file-system-steps.ts";
import { LyingServer, serveFile } from "../../support/lying-server.ts";
import { randomBytes } from "../../support/random-bytes.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const CHILD = fileURLToPath(new URL("../../support/fetch-child.js", import.meta.url));

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

  it("C9: content is synced before it gets its name, and the name before the entry that points to it", async () => {
    const steps: string[] = [];
    const restore = await stepInto((method) => steps.push(method));
    const options = { limits: compileLimits({ httpRangeBytes: 2 ** 22 }), environment: readEnvironment({ HOME: directory() }) };
    await fetchToCache(`${server.url}/m.pt`, { ...options, cacheDir: join(directory(), "cache") });
    restore();
    const stored = steps.slice(steps.lastIndexOf("datasync")).filter((method) => method !== "mkdir");
    // File; its name; its directory and the one above; then the entry: written, synced, renamed, its directory.
    expect(stored.join(" ")).to.equal("datasync chmod sync rename open sync open sync open writeFile sync rename open sync");
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
