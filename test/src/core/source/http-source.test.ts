import { compileLimits } from "@rankcast/core";
import { newReadStats, openHttp, openHttpSession, type ReadStats, readBytes } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";
import { expectError } from "../../support/expect-error.ts";
import { LyingServer, serveFile } from "../../support/lying-server.ts";
import { randomBytes } from "../../support/random-bytes.ts";

describe("openHttp", () => {
  const bytes = randomBytes(1_000_000);
  let server: LyingServer;
  let stats: ReadStats;
  let session: ReturnType<typeof openHttpSession>;
  beforeEach(async () => {
    server = await LyingServer.start(serveFile(bytes, {}, () => server));
    stats = newReadStats();
    session = openHttpSession({ limits: compileLimits({ idleMs: 1_500, httpRetryMs: 1 }), stats });
  });
  afterEach(async () => {
    session.close();
    await server.close();
  });
  const open = () => openHttp(session, `${server.url}/m.pt`);

  it("reads any range as the file has it, and counts what the server sent", async () => {
    const source = await open();
    await fc.assert(
      fc.asyncProperty(fc.nat(999_999), fc.nat(300_000), async (offset, length) => {
        const wanted = bytes.subarray(offset, offset + length);
        expect(Buffer.from(await readBytes(source, offset, wanted.length)).equals(wanted)).to.equal(true);
      }),
      { numRuns: 60 },
    );
    expect(stats.requests).to.equal(server.requests.length);
    expect(stats.bytesRead).to.equal(server.bytesServed);
    await expectError("RANKCAST_SOURCE_TRUNCATED", readBytes(source, 999_999, 2));
    await source.close();
  });

  it("fetches small neighbours once, also when they are asked for at the same time", async () => {
    const source = await open();
    await Promise.all(Array.from({ length: 50 }, (_, index) => readBytes(source, 500_000 + index * 100, 100)));
    expect(server.requests.length).to.be.at.most(3);
    await readBytes(source, 10, 10);
    expect(server.requests.length).to.be.at.most(3);
    await source.close();
  });

  it("resumes a cut read at the missing byte and survives one silence", async () => {
    const source = await open();
    let cuts = 0;
    server.handler = (request, response, index) => {
      if (cuts++ === 1) return;
      serveFile(bytes, { pieceBytes: 50_000, beforePiece: (sent) => sent !== 100_000 || cuts > 1 }, () => server)(request, response, index);
    };
    server.bytesServed = 0;
    expect(Buffer.from(await readBytes(source, 200_000, 400_000)).equals(bytes.subarray(200_000, 600_000))).to.equal(true);
    expect(server.bytesServed).to.equal(400_000);
    expect(stats.retries).to.equal(2);
    await source.close();
  });

  it("says when the file changed, by tag, size or a whole answer", async () => {
    const source = await open();
    for (const other of [
      serveFile(bytes, { etag: '"b"' }),
      serveFile(bytes.subarray(0, 900_000)),
      serveFile(randomBytes(1_000_000, 5), { ranges: false }),
    ]) {
      server.handler = other;
      await expectError("RANKCAST_SOURCE_CHANGED", readBytes(source, 300_000, 200_000));
    }
    server.handler = serveFile(bytes, { ranges: false });
    await expectError("RANKCAST_HTTP_RANGE", readBytes(source, 300_000, 200_000));
    server.handler = (_, response) =>
      response.writeHead(206, { "content-range": "bytes 0-199999/1000000" }).end(bytes.subarray(0, 200_000));
    await expectError("RANKCAST_HTTP_RANGE", readBytes(source, 300_000, 200_000));
    await source.close();
  });

  it("needs ranges, except for a file that fits in memory anyway", async () => {
    server.handler = serveFile(Buffer.concat([bytes, bytes]), { ranges: false });
    await expectError("RANKCAST_HTTP_RANGE", open());
    server.handler = serveFile(Buffer.from('{"a":1}'), { ranges: false, etag: null });
    const small = await open();
    expect(Buffer.from(await readBytes(small, 0, small.sizeBytes)).toString()).to.equal('{"a":1}');
    await small.close();
    server.handler = serveFile(Buffer.alloc(0));
    expect((await open()).sizeBytes).to.equal(0);
    server.handler = (_, response) => response.writeHead(404).end();
    await expectError("RANKCAST_NOT_FOUND", open());
    server.handler = serveFile(Buffer.from("<!doctype html>"));
    await expectError("RANKCAST_HTTP_HTML", open());
  });

  it("stops when closed or told", async () => {
    const source = await open();
    server.handler = () => undefined;
    const controller = new AbortController();
    const read = readBytes(source, 300_000, 200_000, controller.signal).catch((error: unknown) => error);
    controller.abort();
    expect(await read).to.have.property("name", "AbortError");
    await source.close();
  });
});
