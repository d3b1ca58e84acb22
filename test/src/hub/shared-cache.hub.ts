/**
 * One cache, two programs: Hugging Face's Python library reads what we wrote, and we use what it wrote, against a hub on this machine.
 * Runs where Python has it (`PYTHON`, else python3): `npm run test:hub`.
 */
import { execFile } from "node:child_process";
import { lstat, readdir, readFile, readlink, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { compileLimits, StateDict } from "@rankcast/core";
import { newReadStats, type ReadStats, readBytes, readEnvironment, resolveWeights } from "@rankcast/core/internal";
import { expect } from "chai";
import { COMMIT, type FakeHub, startHub } from "../support/fake-hub.ts";
import { randomBytes } from "../support/random-bytes.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const run = promisify(execFile);
const CLIENT = fileURLToPath(new URL("../../hub/hub_client.py", import.meta.url));

describe("a cache shared with Hugging Face's Python library", () => {
  const directory = temporaryDirectory();
  const bytes = randomBytes(6_000_000, 1);
  const files = new Map([
    ["config.json", Buffer.from("{}")],
    ["model.bin", bytes],
    ["sub/extra.bin", randomBytes(500, 2)],
  ]);
  let fake: FakeHub;
  beforeEach(async () => {
    // Under another name: the Python library goes after redirects that stay on the hub's host.
    fake = await startHub("org/name", files, "hf_secret", "localhost");
  });
  afterEach(() => fake.close());

  const cache = (): string => join(directory(), "hub");
  const variables = (): Record<string, string> => ({
    HOME: directory(),
    HF_ENDPOINT: fake.hub.url,
    HF_HUB_CACHE: cache(),
    HF_TOKEN: "hf_secret",
    HF_HUB_DISABLE_PROGRESS_BARS: "1",
  });
  const python = async <T>(...args: string[]): Promise<T> => {
    const { stdout } = await run(process.env["PYTHON"] ?? "python3", [CLIENT, ...args], {
      cwd: directory(),
      env: { PATH: process.env["PATH"], ...variables() },
    });
    return JSON.parse(stdout) as T;
  };
  const ours = async (name: string, stats: ReadStats = newReadStats()): Promise<Buffer> => {
    const options = { limits: compileLimits({ httpRetryMs: 1 }), environment: readEnvironment(variables()), stats };
    const source = await resolveWeights(`hf://org/name/${name}`, options);
    if (source instanceof StateDict || source.entry === null) throw new Error("expected a file");
    const content = Buffer.from(await readBytes(source.entry, 0, source.entry.sizeBytes));
    await source.close();
    return content;
  };
  /** Requests for the repository; every run of the library also asks for a list that has nothing to do with it. */
  const requests = (): number =>
    [...fake.hub.requests, ...fake.storage.requests].filter(({ url }) => url !== "/api/agent-harnesses").length;

  it("it reads what we downloaded, offline and online, and downloads nothing of it again", async () => {
    for (const [name, content] of files) expect((await ours(name)).equals(content), name).to.equal(true);
    const before = requests();
    const snapshot = await python<string>("snapshot", "org/name", "--offline");
    expect(snapshot).to.equal(join(cache(), "models--org--name", "snapshots", COMMIT));
    for (const [name, content] of files) {
      expect((await readFile(join(snapshot, name))).equals(content), name).to.equal(true);
      expect(await python("file", "org/name", name, "--offline")).to.equal(join(snapshot, name));
      expect(await python("cached", "org/name", name)).to.equal(join(snapshot, name));
    }
    expect(requests()).to.equal(before);
    const served = fake.storage.bytesServed;
    expect(await python("snapshot", "org/name")).to.equal(snapshot);
    expect(await python("file", "org/name", "model.bin")).to.equal(join(snapshot, "model.bin"));
    expect(fake.storage.bytesServed).to.equal(served);
    const sizes: Record<string, number> = Object.fromEntries([...files].map(([name, content]) => [name.split("/").at(-1), content.length]));
    expect(await python("scan")).to.deep.equal({
      warnings: [],
      sizeBytes: Object.values(sizes).reduce<number>((sum, each) => sum + each, 0),
      repos: [{ id: "org/name", type: "model", revisions: [{ commit: COMMIT, refs: ["main"], files: sizes }] }],
    });
  });

  it("we use what it downloaded once its bytes are proved, and leave it as it is", async () => {
    const path = await python<string>("file", "org/name", "model.bin");
    const blob = await realpath(path);
    const before = await stat(blob);
    const served = fake.storage.bytesServed;
    const stats = newReadStats();
    expect((await ours("model.bin", stats)).equals(bytes)).to.equal(true);
    expect(stats).to.include({ bytesRead: 0, cacheHits: 1 });
    expect(fake.storage.bytesServed).to.equal(served);
    const { mtimeMs, ino, mode } = await stat(blob);
    expect({ mtimeMs, ino, mode }).to.deep.equal({ mtimeMs: before.mtimeMs, ino: before.ino, mode: before.mode });
  });

  it("both write one layout: blobs by their entity tag, relative links, refs", async () => {
    await python("file", "org/name", "config.json");
    await ours("model.bin");
    const repo = join(cache(), "models--org--name");
    const snapshot = join(repo, "snapshots", COMMIT);
    expect((await readdir(snapshot)).sort()).to.deep.equal(["config.json", "model.bin"]);
    const theirs = await readlink(join(snapshot, "config.json"));
    const link = await readlink(join(snapshot, "model.bin"));
    expect([theirs, link].map((each) => each.replace(/[0-9a-f]{40,64}$/, "tag"))).to.deep.equal(["../../blobs/tag", "../../blobs/tag"]);
    expect((await lstat(join(snapshot, link))).isFile()).to.equal(true);
    expect(await readFile(join(repo, "refs", "main"), "utf8")).to.equal(COMMIT);
    expect(await python("scan"))
      .to.have.property("warnings")
      .that.deep.equals([]);
  });
});
