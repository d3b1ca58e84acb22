/** What people can rely on when the network is at fault, sentence by sentence; the ways a server can lie have tests of their own. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { compileLimits, SourceError } from "@rankcast/core";
import { type FetchEvent, RetryPolicy } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { faultyDownloads, strongEtag } from "../../support/faulty-downloads.ts";
import { serveFile } from "../../support/lying-server.ts";

describe("what people can rely on", () => {
  const { origin, bytes, directory, limits, fetch, leftovers, stored, succeeds } = faultyDownloads();
  const cut = serveFile(bytes, { pieceBytes: 10_000, beforePiece: (sent) => sent < 20_000 });
  const cutOff = async (): Promise<void> => {
    origin().handler = cut;
    await expectError("RANKCAST_HTTP_SHORT", fetch({ limits: limits({ httpRetries: 1, httpConnections: 1 }) }));
    expect((await leftovers()).filter((name) => name.endsWith(".part"))).to.have.length(1);
  };

  const cutOffInto = async (name: string): Promise<void> => {
    origin().handler = cut;
    const options = { cacheDir: join(directory(), name), limits: limits({ httpRetries: 1, httpConnections: 1 }) };
    await expectError("RANKCAST_HTTP_SHORT", fetch(options));
  };

  it("by default a server may be silent for 30 seconds, tries included, and redirect five times", async () => {
    const defaults = compileLimits({});
    expect(defaults).to.include({ idleMs: 30_000, redirects: 5 });
    let nowMs = 0;
    const clock = {
      now: () => nowMs,
      random: () => 0.999,
      sleep: async (ms: number) => {
        nowMs += ms;
      },
    };
    const policy = new RetryPolicy(defaults, undefined, clock);
    const run = policy.start();
    let tries = 0;
    for (let failed = false; !failed; ) {
      const silence = new SourceError("RANKCAST_NETWORK_SILENT", "silent", { details: {} });
      nowMs += policy.attemptIdleMs;
      tries += 1;
      await policy.again(run, silence, "name", undefined).catch(() => {
        failed = true;
      });
    }
    expect(nowMs).to.be.at.most(30_001);
    expect(tries).to.be.greaterThan(1);
  });

  it("a partial is never served, and offline it is as if it were not there", async () => {
    await cutOff();
    expect(await stored()).to.deep.equal([]);
    const before = origin().requests.length;
    await expectError("RANKCAST_OFFLINE", fetch({ offline: true }));
    expect(origin().requests.length).to.equal(before);
  });

  it("a partial is gone after a success, and after a refusal of any kind", async () => {
    await cutOff();
    origin().handler = serveFile(bytes);
    await succeeds();
    for (const [code, status, body] of [
      ["RANKCAST_NOT_FOUND", 404, "gone"],
      ["RANKCAST_HTTP_AUTH", 403, "no"],
      ["RANKCAST_HTTP_STATUS", 400, "what"],
      ["RANKCAST_HTTP_HTML", 200, `<!doctype html>${"x".repeat(30_000)}`],
    ] as const) {
      const cacheDir = join(directory(), code);
      await cutOffInto(code);
      expect(await readdir(join(cacheDir, "partial")), code).to.have.length(2);
      origin().handler = (_, response) => response.writeHead(status, { "content-length": body.length }).end(body);
      await expectError(code, fetch({ cacheDir }));
      expect(await readdir(join(cacheDir, "partial")), code).to.deep.equal([]);
    }
    await cutOffInto("digest");
    origin().handler = serveFile(bytes);
    await expectError("RANKCAST_HASH_MISMATCH", fetch({ cacheDir: join(directory(), "digest"), sha256: "0".repeat(64) }));
    expect(await readdir(join(directory(), "digest", "partial"))).to.deep.equal([]);
  });

  it("a caller who gives up in the middle of a body is answered at once, and the connection is closed", async () => {
    const controller = new AbortController();
    origin().handler = (request, response, index) => {
      // A part of known length that never ends.
      if (index === 0) return serveFile(bytes)(request, response, index);
      response.writeHead(206, { "content-range": "bytes 65536-131071/200000", "content-length": 65_536, etag: strongEtag(bytes) });
      response.write(bytes.subarray(65_536, 100_000), () => setTimeout(() => controller.abort(new Error("enough")), 20));
    };
    const options = { signal: controller.signal, limits: limits({ httpConnections: 1 }) };
    const caught = await fetch(options).catch((error: unknown) => error);
    expect(caught).to.have.property("message", "enough");
    for (let turn = 0; turn < 500 && origin().connections > 0; turn += 1) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(origin().connections).to.equal(0);
    origin().handler = serveFile(bytes);
    await succeeds();
  });

  it("progress tells bytes, rate, remaining time and retries, and what is repeated is told with its reason", async () => {
    let cuts = 0;
    const events: FetchEvent[] = [];
    origin().handler = serveFile(bytes, { pieceBytes: 10_000, beforePiece: (sent) => sent !== 20_000 || cuts++ > 1 });
    await succeeds({ onProgress: (event) => events.push(event) });
    const retries = events.filter((event) => event.type === "retry");
    expect(retries).to.have.length(2);
    for (const each of retries) expect(each).to.include({ code: "RANKCAST_HTTP_SHORT", name: `${origin().url}/model.pt` });
    const last = events.filter((event) => event.type === "progress").at(-1);
    expect(last).to.include({ bytesDone: bytes.length, bytesTotal: bytes.length, retries: 2, etaMs: 0 });
    expect(last?.bytesPerSecond).to.be.greaterThan(0);
  });
});
