import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { StateDict } from "@rankcast/core";
import {
  builtInSchemes,
  type FetchEvent,
  newReadStats,
  type ResolvedSource,
  type ResolveOptions,
  readBytes,
  readEnvironment,
  resolveWeights,
  type SchemeRegistry,
} from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { LyingServer, serveFile } from "../../support/lying-server.ts";
import { randomBytes } from "../../support/random-bytes.ts";
import { entryBytes, expectFiles } from "../../support/resolved-files.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("resolveWeights", () => {
  const directory = temporaryDirectory();
  const bytes = randomBytes(3_000_000);
  let server: LyingServer;
  let events: FetchEvent[];
  beforeEach(async () => {
    events = [];
    server = await LyingServer.start(serveFile(bytes, {}, () => server));
  });
  afterEach(() => server.close());

  const resolve = async (weights: string, options: ResolveOptions = {}, registry?: SchemeRegistry): Promise<ResolvedSource> => {
    const environment = readEnvironment({ HOME: directory() });
    return expectFiles(await resolveWeights(weights, { environment, onProgress: (event) => events.push(event), ...options }, registry));
  };

  it("opens local files by path, ~ and file://, and checks a digest first", async () => {
    await writeFile(join(directory(), "m.pt"), bytes);
    for (const weights of [join(directory(), "m.pt"), "~/m.pt", `file://${directory()}/m.pt`]) {
      expect(await entryBytes(await resolve(weights))).to.deep.equal(bytes);
    }
    const checked = await resolve("~/m.pt", { sha256: sha256(bytes).toUpperCase(), immutable: true });
    expect(checked.entry?.version.sha256).to.equal(sha256(bytes));
    expect(checked.entry?.file).to.deep.equal({ path: join(directory(), "m.pt"), immutable: true });
    await checked.close();
    await expectError("RANKCAST_HASH_MISMATCH", resolve("~/m.pt", { sha256: "0".repeat(64) }));
    await expectError("RANKCAST_USAGE", resolve("~/m.pt", { sha256: "123" }));
    await expectError("RANKCAST_USAGE", resolve("~", { sha256: sha256(bytes) }));
    const missing = await expectError("RANKCAST_NOT_FOUND", resolve("~/none.pt"));
    expect(missing.message).to.equal(`${directory()}/none.pt can not be found.`);
    await expectError("RANKCAST_USAGE", resolve(""));
  });

  it("A5: says which schemes there are when one is unknown, and which is nearest", async () => {
    const error = await expectError("RANKCAST_SCHEME_UNKNOWN", resolve("torchvison://resnet50.default"));
    expect(error.class).to.equal("usage");
    expect(error.details).to.include({ scheme: "torchvison://", nearest: "torchvision://" });
    expect(error.message).to.contain("registered: file://, http://, https://, torchvision://");
    const secret = await expectError("RANKCAST_SCHEME_UNKNOWN", resolve("foo://user:secret@host/x.pth?token=secret"));
    expect(JSON.stringify([secret.message, secret.details])).to.not.contain("secret");
    await expectError("RANKCAST_NOT_FOUND", resolve("C:x.pth"));
  });

  it("downloads http files into the cache and counts for the report", async () => {
    const stats = newReadStats();
    const source = await resolve(`${server.url}/m.pt?x=1`, { stats });
    expect(source.name).to.equal(`${server.url}/m.pt`);
    expect(source.entry?.file?.immutable).to.equal(true);
    expect(source.entry?.version.sha256).to.equal(sha256(bytes));
    expect(await entryBytes(source)).to.deep.equal(bytes);
    expect(stats).to.include({ requests: server.requests.length, bytesRead: bytes.length, bytesNeeded: bytes.length });
  });

  it("opens files beside a remote file with the same credentials, and only beside it", async () => {
    const url = server.url.replace("//", "//u:p@");
    const source = await resolve(`${url}/a/m.index.json`, { headers: { "x-api-key": "k" } });
    const sibling = await source.siblings.open("part 1#.pt");
    expect(sibling.name).to.equal(`${server.url}/a/part%201%23.pt`);
    expect(await source.siblings.open("part 1#.pt")).to.equal(sibling);
    expect(await source.siblings.list()).to.equal(null);
    await expectError("RANKCAST_SIBLING_PATH", source.siblings.open("../b.pt"));
    await source.close();
    for (const request of server.requests) {
      expect(request.headers).to.include({ authorization: `Basic ${Buffer.from("u:p").toString("base64")}`, "x-api-key": "k" });
    }
  });

  it("reads only ranges when asked to, and downloads when the server has none", async () => {
    const stats = newReadStats();
    const source = await resolve(`${server.url}/m.pt`, { access: "ranges", stats });
    expect(source.entry?.sizeBytes).to.equal(bytes.length);
    expect(source.entry?.file).to.equal(undefined);
    const tail = await readBytes(source.entry ?? expect.fail(), bytes.length - 100, 100);
    expect(Buffer.from(tail)).to.deep.equal(bytes.subarray(-100));
    await source.close();
    expect(stats.bytesRead).to.be.lessThan(150_000);
    expect(stats.bytesRead).to.equal(server.bytesServed);
    server.handler = serveFile(bytes, { ranges: false });
    const whole = await resolve(`${server.url}/other.pt`, { access: "ranges" });
    expect(whole.entry?.file?.immutable).to.equal(true);
    await whole.close();
    const cached = await resolve(`${server.url}/other.pt`, { access: "ranges" });
    expect(cached.entry?.file?.immutable).to.equal(true);
    await cached.close();
  });

  it("finds torchvision names through mirrors and own tables, and enforces their digests", async () => {
    const mirrors = [["https://download.pytorch.org/models/", `${server.url}/tv/`]] as const;
    const error = await expectError("RANKCAST_HASH_MISMATCH", resolve("torchvision://alexnet.default", { tables: { mirrors } }));
    expect(error.details).to.include({ expected: "7be5be79" });
    expect(server.requests[0]?.url).to.equal("/tv/alexnet-owt-7be5be79.pth");
    // One of the four whose digits are not proved to be a digest: told, not refused.
    expect(await entryBytes(await resolve("torchvision://resnet18_quantizedweights.default", { tables: { mirrors } }))).to.deep.equal(
      bytes,
    );
    expect(events.filter((event) => event.type === "notice").map((event) => event.code)).to.deep.equal(["RANKCAST_HASH_UNPROVED"]);
    events = [];
    await expectError("RANKCAST_HASH_MISMATCH", resolve("modelzoo://alexnet", { tables: { mirrors } }));
    expect(events[0]).to.include({ message: 'The URL scheme of "modelzoo://" is deprecated, please use "torchvision://" instead' });
    const own = { torchvision: { "mine.v1": `${server.url}/mine.pth` } };
    expect(await entryBytes(await resolve("torchvision://mine.v1", { tables: own }))).to.deep.equal(bytes);
    await expectError("RANKCAST_MODEL_UNKNOWN", resolve("torchvision://nope.default"));
  });

  it("A6, B2: expands model zoos wherever they are used", async () => {
    const mirrors = [
      "https://download.openmmlab.com/mmdetection/v2.0/",
      "https://download.openmmlab.com/mmsegmentation/v0.5/",
      "https://dl.cv.ethz.ch/bdd100k/",
    ];
    const tables = { mirrors: mirrors.map((base, index) => [base, `${server.url}/${index}/`] as const) };
    for (const [index, scheme] of ["mmdet", "mmseg", "bdd100k"].entries()) {
      await (await resolve(`${scheme}://x/mmdet://y.pth`, { tables })).close();
      expect(server.requests.at(-1)?.url).to.equal(`/${index}/x/mmdet://y.pth`);
    }
  });

  it("B13: reads OpenMMLab's names from the user's index and tables", async () => {
    const mmengine = join(directory(), "mm");
    await mkdir(mmengine);
    await writeFile(join(mmengine, "local.pth"), "local");
    await writeFile(
      join(mmengine, "open_mmlab.json"),
      JSON.stringify({ "detectron/resnet50_caffe": "local.pth", remote: `${server.url}/r.pth` }),
    );
    const environment = readEnvironment({ HOME: directory(), MMENGINE_HOME: mmengine });
    expect((await entryBytes(await resolve("open-mmlab://resnet50_caffe", { environment }))).toString()).to.equal("local");
    expect(events[0]).to.include({
      message: "open-mmlab://resnet50_caffe is deprecated in favor of open-mmlab://detectron/resnet50_caffe",
    });
    expect(await entryBytes(await resolve("openmmlab://remote", { environment }))).to.deep.equal(bytes);
    const error = await expectError("RANKCAST_MODEL_UNKNOWN", resolve("open-mmlab://remot", { environment }));
    expect(error.details["nearest"]).to.deep.equal(["remote"]);
    const classifier = await resolve("mmcls://r50", { tables: { mmcls: { r50: `${server.url}/r.pth` } } });
    expect(classifier.subtree).to.equal("backbone");
    await classifier.close();
    await expectError("RANKCAST_MODEL_UNKNOWN", resolve("mmcls://r50"));
  });

  it("B13, B14: knows the names of mmengine's own index files, and the nearest ones", async function () {
    // 153 files, each synced to a disk that may be busy.
    this.timeout(180_000);
    const mirrors = [["https://download.openmmlab.com/", `${server.url}/`]] as const;
    for (const [scheme, file, count] of [
      ["open-mmlab://", "openmmlab", 48],
      ["openmmlab://", "openmmlab", 48],
      ["mmcls://", "mmcls", 57],
    ] as const) {
      const index = new URL(`../../../fixtures/tables/${file}.json`, import.meta.url);
      const names: [string, string][] = Object.entries(JSON.parse(await readFile(index, "utf8")));
      expect(names).to.have.length(count);
      for (const [name, url] of names) {
        // The server's bytes are not the file's: where the name tells the digest, they are refused, after the right file was asked for.
        const opened = resolve(scheme + name, { tables: { mirrors } }).then((source) => source.close());
        await opened.catch((error: { code?: string }) => expect(error.code).to.equal("RANKCAST_HASH_MISMATCH"));
        expect(`https://download.openmmlab.com${server.requests.at(-1)?.url}`, name).to.equal(url);
      }
    }
    const unknown = await expectError("RANKCAST_MODEL_UNKNOWN", resolve("mmcls://resnet5O"));
    expect(unknown.details["nearest"]).to.include("resnet50");
    const bgr = await expectError("RANKCAST_MODEL_UNKNOWN", resolve("open-mmlab://resnet50_caffe_bgr"));
    expect(bgr.details["nearest"]).to.include("detectron2/resnet50_caffe");
  });

  it("A8: a loader gets the text and what it needs to fetch, and answers with files that nobody has decoded", async () => {
    const registry = builtInSchemes();
    const { signal } = new AbortController();
    const headers = { authorization: "Bearer t" };
    const seen: unknown[] = [];
    registry.register("mine://", async (uri, context) => {
      seen.push(uri, context.signal, context.headers, context.cacheDir);
      context.onProgress?.({ type: "notice", code: "MINE", message: "seen" });
      return context.resolve(`${server.url}/m.pt`);
    });
    const cacheDir = join(directory(), "own");
    expect(await entryBytes(await resolve("mine://a?b", { signal, headers, cacheDir }, registry))).to.deep.equal(bytes);
    expect(seen).to.deep.equal(["mine://a?b", signal, headers, cacheDir]);
    expect(events[0]).to.deep.include({ type: "notice", code: "MINE" });
    expect(server.requests[0]?.headers).to.include(headers);
  });

  it("A8: lets a loader of the user answer with tensors or hand over to another scheme, but not in circles", async () => {
    const registry = builtInSchemes();
    const tensors = new StateDict();
    registry.register("mem://", () => tensors);
    registry.register("alias://", (uri, context) => context.resolve(uri.replace("alias://", `${server.url}/`)));
    registry.register("loop://", (uri, context) => context.resolve(uri));
    expect(await resolveWeights("mem://x", {}, registry)).to.equal(tensors);
    expect(await entryBytes(await resolve("alias://m.pt", {}, registry))).to.deep.equal(bytes);
    await expectError("RANKCAST_USAGE", resolve("loop://x", {}, registry));
  });
});
