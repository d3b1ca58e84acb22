/**
 * One cache, two programs: Hugging Face's own JavaScript library, which shares the layout with its Python library, reads what we wrote, and we read
 * what it wrote.
 */
import { appendFile, readFile, realpath, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { downloadFileToCacheDir, scanCacheDir } from "@huggingface/hub";
import { compileLimits } from "@rankcast/core";
import { newReadStats, type ResolvedSource, readEnvironment, resolveWeights } from "@rankcast/core/internal";
import { expect } from "chai";
import { COMMIT, type FakeHub, startHub } from "../../support/fake-hub.ts";
import { randomBytes } from "../../support/random-bytes.ts";
import { entryBytes, expectFiles } from "../../support/resolved-files.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

describe("hf:// beside Hugging Face's own library", () => {
  const directory = temporaryDirectory();
  const files = new Map([
    ["config.json", Buffer.from("{}")],
    ["model.bin", randomBytes(300_000, 1)],
  ]);
  let fake: FakeHub;
  beforeEach(async () => {
    fake = await startHub("org/name", files);
  });
  afterEach(() => fake.close());
  const cacheDir = (): string => join(directory(), "hub");
  const environment = (more: Record<string, string> = {}) =>
    readEnvironment({ HOME: directory(), HF_ENDPOINT: fake.hub.url, HF_HUB_CACHE: cacheDir(), ...more });
  const resolve = async (weights: string, stats = newReadStats(), more: Record<string, string> = {}): Promise<ResolvedSource> => {
    return expectFiles(await resolveWeights(weights, { limits: compileLimits({ httpRetryMs: 1 }), environment: environment(more), stats }));
  };
  const theirs = (path: string): Promise<string> => {
    const { debug } = console;
    // It tells the console what it does.
    console.debug = () => undefined;
    return downloadFileToCacheDir({ repo: "org/name", path, hubUrl: fake.hub.url, cacheDir: cacheDir() }).finally(() => {
      console.debug = debug;
    });
  };

  it("it lists what we downloaded, and downloads nothing of it again", async () => {
    for (const name of files.keys()) await entryBytes(await resolve(`hf://org/name/${name}`));
    const { repos, warnings, size } = await scanCacheDir(cacheDir());
    expect(warnings).to.deep.equal([]);
    expect(size).to.equal(300_002);
    expect(repos.map((each) => each.id)).to.deep.equal([{ name: "org/name", type: "model" }]);
    const [revision] = repos[0]?.revisions ?? [];
    expect(revision).to.deep.include({ commitOid: COMMIT, refs: ["main"] });
    const sizes = revision?.files.map((each) => [each.path.split(`${COMMIT}/`)[1], each.blob.size]);
    expect(new Map(sizes as [string, number][])).to.deep.equal(new Map([...files].map(([name, bytes]) => [name, bytes.length])));
    const served = fake.storage.requests.length;
    expect(await readFile(await theirs("model.bin"))).to.deep.equal(files.get("model.bin"));
    expect(fake.storage.requests.length).to.equal(served);
  });

  it("we use what it downloaded once its bytes are proved, without touching it", async () => {
    const blob = await realpath(await theirs("model.bin"));
    const before = await stat(blob);
    const stats = newReadStats();
    expect(await entryBytes(await resolve("hf://org/name/model.bin", stats))).to.deep.equal(files.get("model.bin"));
    expect(stats).to.include({ bytesRead: 0, cacheHits: 1 });
    const { mtimeMs, ino, mode } = await stat(blob);
    expect({ mtimeMs, ino, mode }).to.deep.equal({ mtimeMs: before.mtimeMs, ino: before.ino, mode: before.mode });
  });

  it("we do not believe a file of its cache that is cut or changed", async () => {
    const bytes = files.get("model.bin") ?? Buffer.alloc(0);
    const blob = await realpath(await theirs("model.bin"));
    for (const damage of [
      () => writeFile(blob, bytes.subarray(0, 1000)),
      () => appendFile(blob, "x"),
      () => writeFile(blob, randomBytes(300_000, 9)),
    ]) {
      await damage();
      const stats = newReadStats();
      expect(await entryBytes(await resolve("hf://org/name/model.bin", stats))).to.deep.equal(bytes);
      expect(stats).to.include({ bytesRead: bytes.length });
    }
  });
});
