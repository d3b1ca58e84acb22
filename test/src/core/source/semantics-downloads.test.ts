/** What torch.hub does with downloads and its cache, row by row, and what we do instead. */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { loadCheckpoint } from "@rankcast/core";
import {
  cacheLayout,
  expectedDigest,
  type FetchedFile,
  type FetchOptions,
  fetchToCache,
  proxyFor,
  readEnvironment,
  torchHubDirectory,
} from "@rankcast/core/internal";
import { expect } from "chai";
import { buildZip } from "../../support/build-zip.ts";
import { expectError } from "../../support/expect-error.ts";
import { faultyDownloads, strongEtag } from "../../support/faulty-downloads.ts";
import { stepInto } from "../../support/file-system-steps.ts";
import { serveFile } from "../../support/lying-server.ts";
import { randomBytes } from "../../support/random-bytes.ts";
import { legacyFile, TWELVE } from "../../support/torch-file.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("downloads and their cache, as torch.hub knows them", () => {
  const { origin, bytes, directory, events, limits, fetch, succeeds, refuses, leftovers, stored } = faultyDownloads();
  const cache = (): string => join(directory(), "cache");
  const named = (path: string, options: FetchOptions = {}): Promise<FetchedFile> => fetch(options, path);
  const answerTruncated = (_: unknown, response: ServerResponse): void => {
    response.writeHead(200, { "content-length": bytes.length });
    response.write(bytes.subarray(0, bytes.length / 2), () => response.socket?.destroySoon());
  };

  it("D1: the option, then our variable, then torch's, then XDG's; a variable that is empty is unset", async () => {
    const root = (variables: Record<string, string>, option?: string): string =>
      cacheLayout(readEnvironment({ HOME: "/h", ...variables }), option).root;
    expect(root({ RANKCAST_HOME: "/r", TORCH_HOME: "/t", XDG_CACHE_HOME: "/x" }, "~/o")).to.equal("/h/o");
    expect(root({ RANKCAST_HOME: "~/r", TORCH_HOME: "/t", XDG_CACHE_HOME: "/x" })).to.equal("/h/r");
    expect(root({ TORCH_HOME: "/t", XDG_CACHE_HOME: "/x" })).to.equal("/t/rankcast");
    expect(root({ XDG_CACHE_HOME: "/x" })).to.equal("/x/rankcast");
    expect(root({ RANKCAST_HOME: "", TORCH_HOME: "", XDG_CACHE_HOME: "" })).to.equal("/h/.cache/rankcast");
    expect(torchHubDirectory(readEnvironment({ HOME: "/h", TORCH_HOME: "", XDG_CACHE_HOME: "" }))).to.equal(
      "/h/.cache/torch/hub/checkpoints",
    );
  });

  it("D1: a file of torch's cache is used where it lies once its digest is proved, and never changed", async () => {
    const hub = join(directory(), ".cache", "torch", "hub", "checkpoints");
    const name = `m-${sha256(bytes).slice(0, 8)}.pth`;
    await mkdir(hub, { recursive: true });
    await writeFile(join(hub, name), bytes);
    const before = await stat(join(hub, name));
    expect(await named(`/${name}`)).to.include({ path: join(hub, name), sha256: sha256(bytes) });
    const after = await stat(join(hub, name));
    expect([after.mode, after.mtimeMs, origin().requests]).to.deep.equal([before.mode, before.mtimeMs, []]);
    await writeFile(join(hub, name), bytes.subarray(0, 100));
    expect((await named(`/${name}`)).path).to.match(/cache\/objects\//);
    expect((await readFile(join(hub, name))).length).to.equal(100);
  });

  it("D2: torch's two deprecated variables mean nothing", () => {
    const variables = { HOME: "/h", TORCH_HUB: "/old", TORCH_MODEL_ZOO: "/older" };
    expect(cacheLayout(readEnvironment(variables)).root).to.equal("/h/.cache/rankcast");
    expect(torchHubDirectory(readEnvironment(variables))).to.equal("/h/.cache/torch/hub/checkpoints");
  });

  it("D3: the name in the cache is for people only, whatever the URL ends in", async () => {
    const names: [string, string][] = [
      ["/a%20b.pth", "a_b.pth"],
      ["/m.pth?token=s3cr3t", "m.pth"],
      ["/models/", "file"],
      ["/models/..", "file"],
      ["/%2e%2e%2fetc%2fpasswd", "___etc_passwd"],
    ];
    for (const [index, [path, name]] of names.entries()) {
      const content = randomBytes(100, index + 1);
      origin().handler = serveFile(content);
      expect((await named(path)).path, path).to.equal(join(cache(), "objects", sha256(content), name));
    }
    expect(await stored()).to.have.length(names.length);
  });

  it("D4: two URLs with one last segment are two entries", async () => {
    const other = randomBytes(1000, 3);
    origin().handler = (request, response, index) => serveFile(request.url?.startsWith("/b/") ? other : bytes)(request, response, index);
    // Nobody asks the server again: only the key keeps them apart.
    for (const [path, content, hits] of [
      ["/a/model.pt", bytes, 0] as const,
      ["/b/model.pt", other, 0] as const,
      ["/a/model.pt", bytes, 1] as const,
    ]) {
      const fetched = await named(path, { revalidate: false });
      expect([fetched.sha256, fetched.origin.cacheHits]).to.deep.equal([sha256(content), hits]);
    }
  });

  it("D4: one URL with a new validator is fetched again", async () => {
    await succeeds();
    const changed = randomBytes(bytes.length, 7);
    origin().handler = serveFile(changed);
    expect((await fetch()).sha256).to.equal(sha256(changed));
  });

  it("D5: an entry knows size, digest and tag; another size or another look at the file is noticed", async () => {
    const fetched = await succeeds();
    const [entry] = (await readdir(join(cache(), "urls"))).filter((name) => name.endsWith(".json"));
    const text = await readFile(join(cache(), "urls", entry ?? ""), "utf8");
    for (const fact of [`${origin().url}/model.pt`, fetched.sha256, String(bytes.length), JSON.stringify(strongEtag(bytes))]) {
      expect(text).to.contain(fact);
    }
    const replace = async (content: Uint8Array): Promise<void> => {
      await rm(fetched.path);
      await writeFile(fetched.path, content);
    };
    for (const wrong of [bytes.subarray(1), randomBytes(bytes.length, 9)]) {
      await replace(wrong);
      const again = await fetch({ revalidate: false });
      expect([again.origin.cacheHits, sha256(await readFile(again.path))]).to.deep.equal([0, sha256(bytes)]);
    }
    // Touched and right: hashed again, and believed.
    await utimes(fetched.path, 1, 1);
    expect((await fetch({ revalidate: false })).origin.cacheHits).to.equal(1);
  });

  it("D6: progress goes to the listener, and nothing is printed", async () => {
    const printed: unknown[] = [];
    const streams = [process.stdout, process.stderr].map((stream) => ({ stream, write: stream.write }));
    for (const { stream } of streams) {
      stream.write = (text: unknown) => {
        printed.push(text);
        return true;
      };
    }
    try {
      await fetch();
    } finally {
      for (const { stream, write } of streams) stream.write = write;
    }
    expect(printed).to.deep.equal([]);
    expect(events.at(-1)).to.include({ type: "progress", bytesDone: bytes.length, bytesTotal: bytes.length });
  });

  it("D7: the partial file is synced before it gets its name, and the directory after", async () => {
    const steps: string[] = [];
    const restore = await stepInto((method) => steps.push(method));
    await fetch().finally(restore);
    const synced = steps.lastIndexOf("datasync");
    const renamed = steps.indexOf("rename", synced);
    expect(synced).to.be.above(-1);
    // Nothing but its mode changes between the two; then the directories of the name.
    expect(steps.slice(synced, renamed).filter((step) => !["mkdir", "chmod"].includes(step))).to.deep.equal(["datasync", "sync"]);
    expect(steps.slice(renamed + 1, renamed + 3)).to.deep.equal(["open", "sync"]);
    expect(await leftovers()).to.deep.equal([]);
  });

  it("D7: what arrived before a fault stays in one partial file, and the next try goes on from there", async () => {
    origin().handler = serveFile(bytes, { pieceBytes: 10_000, beforePiece: (sent) => sent < 30_000 });
    await refuses("RANKCAST_HTTP_SHORT", { limits: limits({ httpAttempts: 1, httpConnections: 1 }) });
    expect((await leftovers()).filter((name) => name.endsWith(".part"))).to.have.length(1);
    origin().handler = serveFile(bytes);
    expect((await succeeds()).origin.bytesRead).to.be.below(bytes.length);
  });

  it("D8: identity encoding, ranges guarded by If-Range, another try after a fault", async () => {
    let cut = false;
    origin().handler = (request, response, index) => {
      const beforePiece = (sent: number): boolean => {
        const now = index === 1 && sent > 0;
        cut ||= now;
        return !now;
      };
      serveFile(bytes, { pieceBytes: 10_000, beforePiece })(request, response, index);
    };
    await succeeds();
    const seen = origin().requests;
    expect(cut).to.equal(true);
    for (const { headers } of seen) expect(headers["accept-encoding"]).to.equal("identity");
    const parts = seen.slice(1).map(({ headers }) => [headers.range?.startsWith("bytes="), headers["if-range"]]);
    expect(parts).to.have.length.above(3);
    for (const part of parts) expect(part).to.deep.equal([true, strongEtag(bytes)]);
  });

  it("D8: a silent server is an error inside the idle limit", async () => {
    origin().handler = () => undefined;
    await refuses("RANKCAST_NETWORK_SILENT", { limits: limits({ idleMs: 90 }) });
  });

  it("D9: a body cut at half never becomes a cached file", async () => {
    origin().handler = answerTruncated;
    const error: unknown = await fetch({ limits: limits({ httpAttempts: 2 }) }).catch((caught: unknown) => caught);
    expect(error)
      .to.have.property("code")
      .that.matches(/^RANKCAST_(HTTP_SHORT|NETWORK)$/);
    expect(await stored()).to.deep.equal([]);
    await expectError("RANKCAST_OFFLINE", fetch({ offline: true }));
    origin().handler = serveFile(bytes);
    await succeeds();
  });

  it("D10: the last group of digits counts, from 8 on, in torch's words; the option wins", async () => {
    const of = (name: string): unknown => {
      const digest = expectedDigest(new URL(`https://x.example/${name}`), {});
      return digest && [digest.prefix, digest.enforced];
    };
    expect(of("model-1.5-final.pth")).to.equal(null);
    expect(of("m-.pth")).to.equal(null);
    expect(of("faster_rcnn_20200130-047c8118.pth")).to.deep.equal(["047c8118", true]);
    expect(of("x-0676ba6.pth")).to.deep.equal(["0676ba6", false]);
    const error = await refusesName("/m-00000000.pth");
    expect(error.message).to.contain(`invalid hash value (expected "00000000", got "${sha256(bytes)}")`);
    expect((await named("/m-00000000.pth", { sha256: sha256(bytes) })).sha256).to.equal(sha256(bytes));
    // Now it is in the cache: torch would not look again.
    await refusesName("/m-00000000.pth");
  });

  const refusesName = (path: string) => expectError("RANKCAST_HASH_MISMATCH", named(path));

  it("D11: six digits bind where the publisher is known, and are told elsewhere", async () => {
    const of = (url: string): unknown => expectedDigest(new URL(url), {});
    const name = "cc_3dt_frcnn_r50_fpn_12e_nusc_d98509.pt";
    expect(of(`https://dl.cv.ethz.ch/vis4d/${name}`)).to.include({ prefix: "d98509", enforced: true });
    expect(of(`https://elsewhere.example/vis4d/${name}`)).to.include({ prefix: "d98509", enforced: false });
    await named(`/${name}`);
    const notices = events.filter((event) => event.type === "notice").map((event) => event.code);
    expect(notices).to.deep.equal(["RANKCAST_HASH_UNPROVED"]);
  });

  it("D12: a zip around one old checkpoint is read in memory, not unpacked to disk", async () => {
    const zipped = buildZip([{ name: "old.pth", bytes: legacyFile(), deflate: true }]);
    origin().handler = serveFile(zipped);
    const { stateDict, format } = await loadCheckpoint(`${origin().url}/old.zip`, { cacheDir: cache() });
    expect([format, Buffer.from(stateDict.get("w")?.storage.bytes() ?? []).equals(TWELVE)]).to.deep.equal(["torch-legacy", true]);
    const files = (await readdir(directory(), { recursive: true })).filter((name) => /\.(pth|zip)$/.test(name));
    expect(files).to.have.length(1);
    expect(files[0]).to.match(/objects\/[0-9a-f]{64}\/old\.zip$/);
  });

  it("D13: an error says URL, status and the beginning of the answer, and no secret", async () => {
    origin().handler = (_, response) => response.writeHead(404).end("no such weights here");
    const error = await expectError("RANKCAST_NOT_FOUND", named("/m.pth?token=s3cr3t"));
    expect(error.message).to.contain(`${origin().url}/m.pth`);
    expect(error.details).to.include({ status: 404 });
    const told = JSON.stringify([error.message, error.details]);
    expect(told).to.contain("no such weights here");
    expect(told).to.not.contain("s3cr3t");
  });

  it("D13: only http and https are fetched, and no redirect leads out of them", async () => {
    for (const url of ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,hello"]) {
      await expectError("RANKCAST_USAGE", fetchToCache(url, { cacheDir: cache() }));
    }
    for (const location of ["file:///etc/passwd", "ftp://127.0.0.1/x"]) {
      origin().handler = (_, response) => response.writeHead(302, { location }).end();
      await refuses("RANKCAST_REDIRECT");
    }
  });

  it("D14: proxies follow CPython's rules", async () => {
    const proxies = (variables: Record<string, string>): unknown => Object.fromEntries(readEnvironment(variables).proxies);
    expect(proxies({ HTTP_PROXY: "u", http_proxy: "l" })).to.deep.equal({ http: "l" });
    expect(proxies({ HTTPS_PROXY: "u", https_proxy: "" })).to.deep.equal({});
    expect(proxies({ HTTP_PROXY: "u", REQUEST_METHOD: "GET" })).to.deep.equal({});
    const via = (url: string, exceptions: string): unknown =>
      proxyFor(
        new URL(url),
        new Map([
          ["http", "http://p"],
          ["no", exceptions],
        ]),
      );
    expect([via("http://a.example.com/", "example.com"), via("http://notexample.com/", "example.com")]).to.deep.equal([
      undefined,
      "http://p",
    ]);
    const environment = readEnvironment({ HOME: directory(), http_proxy: "socks5://user:s3cr3t@127.0.0.1:1" });
    const error = await expectError("RANKCAST_PROXY", fetch({ environment }));
    expect(JSON.stringify([error.message, error.details])).to.not.contain("s3cr3t");
    expect(origin().requests).to.deep.equal([]);
  });

  it("D15: callers at the same time are one download", async () => {
    const fetched = await Promise.all(Array.from({ length: 8 }, () => fetch({ revalidate: false })));
    expect(new Set(fetched.map(({ path }) => path)).size).to.equal(1);
    expect(fetched.reduce((sum, { origin: { bytesRead } }) => sum + bytesRead, 0)).to.equal(bytes.length);
  });
});
