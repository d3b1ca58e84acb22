import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { compileLimits } from "@rankcast/core";
import {
  type ByteSource,
  newReadStats,
  parseHubUri,
  type ResolvedSource,
  type ResolveOptions,
  readBytes,
  readEnvironment,
  resolveWeights,
} from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { COMMIT, type FakeHub, startHub } from "../../support/fake-hub.ts";
import { GatedBody } from "../../support/gated-body.ts";
import { randomBytes } from "../../support/random-bytes.ts";
import { entryBytes, expectFiles } from "../../support/resolved-files.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("parseHubUri", () => {
  it("takes repositories, revisions, files and folders apart", () => {
    const rows: [string, string][] = [
      ["hf://org/name", "models org/name main "],
      ["hf://org/name/", "models org/name main "],
      ["hf://org/name/a/b.pt", "models org/name main a/b.pt"],
      ["hf://org/name@v1.0/b.pt", "models org/name v1.0 b.pt"],
      ["hf://org/name@a%2Fb/c", "models org/name a/b c"],
      ["hf://org/name@refs/pr/12/x", "models org/name refs/pr/12 x"],
      ["hf://gpt2@main/model.bin", "models gpt2 main model.bin"],
      ["hf://datasets/org/name/x", "datasets org/name main x"],
      ["hf://models/org/name", "models org/name main "],
    ];
    for (const [uri, expected] of rows) {
      const { kind, repo, revision, path } = parseHubUri(uri);
      expect([kind, repo, revision, path].join(" "), uri).to.equal(expected);
    }
  });

  it("refuses what is no repository or leaves it", async () => {
    for (const uri of [
      "hf://",
      "hf://name",
      "hf://org/",
      "hf://../x",
      "hf://org/name/../x",
      "hf://org/name//x",
      "hf://org/n%2f",
      "hf://a/b@/c",
      "hf://a/b@../c",
      "hf://a/b\\c",
      "hf://a/b--c",
    ]) {
      await expectError("RANKCAST_USAGE", () => parseHubUri(uri));
    }
  });
});

describe("hf://", () => {
  const directory = temporaryDirectory();
  const shards = [randomBytes(300_000, 1), randomBytes(200_000, 2)];
  const index = Buffer.from(JSON.stringify({ weight_map: { a: "s-1.bin", b: "s-2.bin", c: "s-1.bin" } }));
  const files = new Map([
    ["config.json", Buffer.from("{}")],
    ["model.index.json", index],
    ["s-1.bin", shards[0] as Buffer],
    ["s-2.bin", shards[1] as Buffer],
    ["sub/x.bin", randomBytes(500, 3)],
    ["sub/deep/y/z.bin", randomBytes(500, 4)],
  ]);
  let fake: FakeHub;
  const start = async (token?: string): Promise<void> => {
    fake = await startHub("org/name", files, token);
  };
  beforeEach(() => start());
  afterEach(() => fake.close());

  const variables = (): Record<string, string> => ({ HOME: directory(), HF_ENDPOINT: fake.hub.url });
  const resolve = async (weights: string, options: ResolveOptions = {}, more: Record<string, string> = {}): Promise<ResolvedSource> => {
    const limits = compileLimits({ httpRetryMs: 1, idleMs: 9_000, httpRangeBytes: 65_536 });
    return expectFiles(await resolveWeights(weights, { limits, environment: readEnvironment({ ...variables(), ...more }), ...options }));
  };
  const repo = (): string => join(directory(), ".cache", "huggingface", "hub", "models--org--name");

  it("gives files while they arrive, and at most four at once", async () => {
    const gates = new Map<string, GatedBody>();
    let running = 0;
    let most = 0;
    const names = ["s-1.bin", "s-2.bin", "sub/x.bin", "p1.bin", "p2.bin", "p3.bin"];
    for (const name of names.slice(3)) files.set(name, randomBytes(1000, Number(name[1])));
    fake.storage.handler = (request, response, index) => {
      const name = decodeURIComponent(new URL(request.url ?? "", "http://x").pathname.slice(1));
      const gate = gates.get(name) ?? new GatedBody(files.get(name) ?? Buffer.alloc(0), 100);
      gates.set(name, gate);
      running += 1;
      most = Math.max(most, running);
      response.on("close", () => {
        running -= 1;
      });
      gate.handler(request, response, index);
    };
    const source = await resolve("hf://org/name", { arriving: true });
    const opening = names.map((name) => source.siblings.open(name));
    const first = (await Promise.all(opening.slice(0, 4))) as [ByteSource, ...ByteSource[]];
    expect(Buffer.from(await readBytes(first[0], 0, 100))).to.deep.equal(files.get("s-1.bin")?.subarray(0, 100));
    expect(first[0].file).to.equal(undefined);
    for (const name of names) {
      // The fifth begins when one of the four is complete.
      while (!gates.has(name)) await new Promise((resume) => setImmediate(resume));
      gates.get(name)?.open();
    }
    for (const each of await Promise.all(opening)) await each.arrival?.complete;
    expect(most).to.equal(4);
    expect(first[0].file?.path).to.equal(join(repo(), "blobs", sha256(files.get("s-1.bin") ?? Buffer.alloc(0))));
    expect(Buffer.from(await readBytes(first[0], 0, first[0].sizeBytes))).to.deep.equal(files.get("s-1.bin"));
    await source.close();
    for (const name of names.slice(3)) files.delete(name);
  });

  it("stores files as Python's library does and finds them again", async () => {
    const stats = newReadStats();
    const source = await resolve("hf://org/name/s-1.bin", { stats });
    expect(source.name).to.equal("hf://org/name/s-1.bin");
    expect(source.entry?.file?.immutable).to.equal(true);
    expect(source.entry?.version.sha256).to.equal(sha256(files.get("s-1.bin") ?? Buffer.alloc(0)));
    expect(await entryBytes(source)).to.deep.equal(shards[0]);
    expect(stats.bytesRead).to.equal(300_000);
    expect(fake.storage.bytesServed).to.equal(300_000);
    const digest = sha256(shards[0] as Buffer);
    expect(await readdir(join(repo(), "blobs"))).to.deep.equal([digest]);
    expect(await readFile(join(repo(), "refs", "main"), "utf8")).to.equal(COMMIT);
    expect(await readlink(join(repo(), "snapshots", COMMIT, "s-1.bin"))).to.equal(`../../blobs/${digest}`);
    await entryBytes(await resolve("hf://org/name/config.json"));
    await entryBytes(await resolve("hf://org/name/sub/x.bin"));
    expect(await readlink(join(repo(), "snapshots", COMMIT, "sub", "x.bin"))).to.equal(
      `../../../blobs/${sha256(files.get("sub/x.bin") ?? Buffer.alloc(0))}`,
    );
    const again = newReadStats();
    expect(await entryBytes(await resolve("hf://org/name/s-1.bin", { stats: again }))).to.deep.equal(shards[0]);
    expect(again).to.deep.equal({ requests: 1, bytesNeeded: 0, bytesRead: 0, retries: 0, cacheHits: 1 });
  });

  it("verifies large files by SHA-256 and small ones by their git id", async () => {
    files.set("s-1.bin", shards[0] as Buffer);
    fake.storage.handler = (_, response) => response.writeHead(200, { "content-length": 300_000 }).end(randomBytes(300_000, 9));
    const error = await expectError("RANKCAST_HASH_MISMATCH", resolve("hf://org/name/s-1.bin"));
    expect(error.details).to.include({ algorithm: "sha256" });
    const honest = fake.hub.handler;
    fake.hub.handler = (request, response, at) => {
      if (request.method === "HEAD") honest(request, response, at);
      else response.end("[]");
    };
    const small = await expectError("RANKCAST_HASH_MISMATCH", resolve("hf://org/name/config.json"));
    expect(small.details).to.include({ algorithm: "git-sha1" });
    expect(await readdir(join(repo(), "blobs"))).to.deep.equal([]);
  });

  it("a demanded SHA-256 is of the file, whatever the hub says of it; a folder has none", async () => {
    const large = sha256(files.get("s-2.bin") as Buffer);
    const small = sha256(files.get("config.json") as Buffer);
    const wrong = "0".repeat(64);
    for (const access of ["download", "ranges"] as const) {
      for (const file of ["s-2.bin", "config.json"]) {
        await expectError("RANKCAST_HASH_MISMATCH", resolve(`hf://org/name/${file}`, { sha256: wrong, access }));
      }
    }
    expect(fake.storage.requests.filter(({ method }) => method === "GET")).to.deep.equal([]);
    await (await resolve("hf://org/name/s-2.bin", { sha256: large })).close();
    await (await resolve("hf://org/name/config.json", { sha256: small })).close();
    await expectError("RANKCAST_USAGE", resolve("hf://org/name", { sha256: small }));
    await expectError("RANKCAST_USAGE", resolve("hf://org/name/config.json", { sha256: "12" }));
    for (const [path, code] of [
      ["s-2.bin", "RANKCAST_HASH_MISMATCH"],
      ["config.json", "RANKCAST_HASH_MISMATCH"],
      ["", "RANKCAST_USAGE"],
    ] as const) {
      await expectError(code, resolve(`hf://org/name/${path}`, { sha256: wrong, offline: true }));
    }
    await (await resolve("hf://org/name/s-2.bin", { sha256: large, offline: true })).close();
  });

  it("replaces a blob of another tool that is damaged", async () => {
    const digest = sha256(shards[0] as Buffer);
    await mkdir(join(repo(), "blobs"), { recursive: true });
    await writeFile(join(repo(), "blobs", digest), randomBytes(300_000, 8));
    expect(await entryBytes(await resolve("hf://org/name/s-1.bin"))).to.deep.equal(shards[0]);
  });

  it("opens folders with their files, all of one commit", async () => {
    const source = await resolve("hf://org/name@refs/pr/2");
    expect(source.entry).to.equal(null);
    expect(await source.siblings.list()).to.deep.equal(["config.json", "model.index.json", "s-1.bin", "s-2.bin", "sub/x.bin"]);
    expect((await source.siblings.open("sub/x.bin")).sizeBytes).to.equal(500);
    await expectError("RANKCAST_NOT_FOUND", source.siblings.open("none.bin"));
    await expectError("RANKCAST_SIBLING_PATH", source.siblings.open("../x"));
    expect(fake.hub.requests.filter((each) => each.url.includes("/resolve/")).every((each) => each.url.includes(COMMIT))).to.equal(true);
    await source.close();
    const sub = await resolve("hf://org/name/sub");
    expect(await sub.siblings.list()).to.deep.equal(["x.bin"]);
    await sub.close();
    const missing = await expectError("RANKCAST_NOT_FOUND", resolve("hf://org/name/nothing"));
    expect(missing.message).to.contain("hf://org/name/nothing: neither a file nor a folder");
  });

  it("fetches the files of an index side by side", async () => {
    const arrived: string[] = [];
    const honest = fake.storage.handler;
    const held: (() => void)[] = [];
    fake.storage.handler = (request, response, at) => {
      const shard = /s-\d/.exec(request.url ?? "")?.[0];
      const first = shard !== undefined && !arrived.includes(shard);
      if (shard !== undefined && first) arrived.push(shard);
      if (!first) return honest(request, response, at);
      // No shard is answered before both are asked for.
      held.push(() => honest(request, response, at));
      if (held.length === 2) for (const each of held) each();
    };
    const source = await resolve("hf://org/name/model.index.json");
    const opened = [await source.siblings.open("s-1.bin"), await source.siblings.open("s-2.bin")];
    expect(arrived.sort()).to.deep.equal(["s-1", "s-2"]);
    expect(opened.map((each) => each.sizeBytes)).to.deep.equal([300_000, 200_000]);
    await source.close();
  });

  it("stops fetching ahead when closed", async () => {
    const honest = fake.storage.handler;
    const asked = new Promise<void>((resolve) => {
      fake.storage.handler = (request, response, at) => {
        if (request.url?.includes("s-")) resolve();
        else honest(request, response, at);
      };
    });
    const source = await resolve("hf://org/name/model.index.json");
    await asked;
    await source.close();
    expect((await readdir(join(repo(), "blobs"))).filter((name) => name.includes(".part"))).to.deep.equal([]);
  });

  it("sends the token to the hub and nowhere else", async () => {
    await fake.close();
    await start("hf_s3cret");
    const error = await expectError("RANKCAST_HTTP_AUTH", resolve("hf://org/name/s-1.bin"));
    expect(error.message).to.contain("RepoNotFound: RepoNotFound it is.");
    expect(error.remedy).to.contain("HF_TOKEN");
    expect(await entryBytes(await resolve("hf://org/name/s-1.bin", {}, { HF_TOKEN: "hf_s3cret" }))).to.deep.equal(shards[0]);
    expect(fake.storage.requests.length).to.be.greaterThan(0);
    expect(JSON.stringify(fake.storage.requests)).to.not.contain("s3cret");
    await mkdir(join(directory(), "hfhome"));
    await writeFile(join(directory(), "hfhome", "token"), "hf_s3cret\n");
    await entryBytes(await resolve("hf://org/name/s-2.bin", {}, { HF_HOME: join(directory(), "hfhome") }));
    await expectError(
      "RANKCAST_HTTP_AUTH",
      resolve("hf://org/name/s-2.bin", {}, { HF_TOKEN: "hf_s3cret", HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" }),
    );
    await entryBytes(await resolve("hf://org/name/s-2.bin", { token: "hf_s3cret" }, { HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" }));
  });

  it("works offline from what is cached, files and folders, and says so otherwise", async () => {
    await entryBytes(await resolve("hf://org/name/s-1.bin"));
    const before = fake.hub.requests.length;
    expect(await entryBytes(await resolve("hf://org/name/s-1.bin", {}, { HF_HUB_OFFLINE: "1" }))).to.deep.equal(shards[0]);
    expect(await entryBytes(await resolve(`hf://org/name@${COMMIT}/s-1.bin`, { offline: true }))).to.deep.equal(shards[0]);
    const folder = await resolve("hf://org/name", { offline: true });
    expect(await folder.siblings.list()).to.deep.equal(["s-1.bin"]);
    await folder.close();
    await expectError("RANKCAST_OFFLINE", resolve("hf://org/name/s-2.bin", { offline: true }));
    expect(fake.hub.requests.length).to.equal(before);
    await fake.close();
    const notices: string[] = [];
    const source = await resolve("hf://org/name/s-1.bin", { onProgress: (event) => event.type === "notice" && notices.push(event.code) });
    expect(await entryBytes(source)).to.deep.equal(shards[0]);
    expect(notices).to.deep.equal(["RANKCAST_CACHE_UNCONFIRMED"]);
    await expectError("RANKCAST_NETWORK", resolve("hf://org/name/s-2.bin"));
    fake = await startHub("org/name", files);
  });

  it("keeps its files where the caller or the environment says", async () => {
    const digest = sha256(shards[1] as Buffer);
    await entryBytes(await resolve("hf://org/name/s-2.bin", { cacheDir: join(directory(), "mine") }));
    expect(await readdir(join(directory(), "mine", "hub", "models--org--name", "blobs"))).to.deep.equal([digest]);
    await entryBytes(await resolve("hf://org/name/s-2.bin", {}, { HF_HUB_CACHE: join(directory(), "theirs") }));
    expect(await readdir(join(directory(), "theirs", "models--org--name", "blobs"))).to.deep.equal([digest]);
    await rm(join(directory(), "theirs"), { recursive: true });
  });

  it("reads only ranges when asked to", async () => {
    const stats = newReadStats();
    const source = await resolve("hf://org/name/s-1.bin", { access: "ranges", stats });
    expect(Buffer.from(await readBytes(source.entry ?? expect.fail(), 0, 100))).to.deep.equal(shards[0]?.subarray(0, 100));
    await source.close();
    expect(stats.bytesRead).to.be.lessThan(70_000);
    expect(await readdir(join(repo(), "blobs")).catch(() => [])).to.deep.equal([]);
  });
});
