import { join } from "node:path";
import type { CheckpointError } from "@rankcast/core";
import { expect } from "chai";
import { faultyDownloads, strongEtag } from "../../support/faulty-downloads.ts";
import { serveFile } from "../../support/lying-server.ts";
import { randomBytes } from "../../support/random-bytes.ts";

describe("faults of servers: ranges that are ignored, wrong, short or of another version", () => {
  const { directory, origin, bytes, limits, refuses, succeeds } = faultyDownloads();

  it("49: a range answered with 200 gives the right file in one stream", async () => {
    origin().handler = serveFile(bytes, { ranges: false });
    await succeeds();
    expect(origin().requests).to.have.length(1);
  });

  it("49: ranges that stop working half-way restart as one stream", async () => {
    origin().handler = (request, response, index) => serveFile(bytes, { ranges: index < 2 })(request, response, index);
    await succeeds();
    expect(origin().requests.at(-1)?.headers).to.not.have.property("range");
  });

  it("50: a wrong Content-Range is an error", async () => {
    for (const wrong of ["bytes 1-65536/200000", "bytes 0-65535/*x", "bytes 0-99999/200000", "items 0-65535/200000", "bytes 0-65535/100"]) {
      origin().handler = (_, response) => {
        response.writeHead(206, { "content-range": wrong, etag: '"a"', "content-length": 65_536 }).end(bytes.subarray(0, 65_536));
      };
      const error = await refuses("RANKCAST_HTTP_RANGE");
      expect(error.class).to.equal("http");
      expect(error.details).to.include({ found: wrong });
    }
  });

  it("50: a wrong Content-Range of a later part is an error too", async () => {
    origin().handler = (request, response, index) => {
      if (index === 0) return serveFile(bytes)(request, response, index);
      response
        .writeHead(206, { "content-range": "bytes 0-65535/200000", etag: strongEtag(bytes), "content-length": 65_536 })
        .end(bytes.subarray(0, 65_536));
    };
    await refuses("RANKCAST_HTTP_RANGE");
  });

  it("50: a server that sends less than the range is asked for the rest", async () => {
    origin().handler = (request, response, index) => {
      const match = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
      if (match) request.headers.range = `bytes=${match[1]}-${Math.min(Number(match[2]), Number(match[1]) + 9_999)}`;
      serveFile(bytes)(request, response, index);
    };
    expect((await succeeds()).origin.bytesRead).to.equal(200_000);
  });

  it("51: a file that changes between parts is fetched again, in one version", async () => {
    const old = randomBytes(200_000, 9);
    origin().handler = (request, response, index) => serveFile(index < 2 ? old : bytes)(request, response, index);
    await succeeds();
  });

  it("51: a part of another version is never put beside the others, even when the server ignores If-Range", async () => {
    const old = randomBytes(200_000, 9);
    for (const [before, tag] of [
      [2, '"other"'],
      [1, null],
    ] as const) {
      origin().handler = (request, response, index) => {
        const seen = index - first;
        const lies = seen === before;
        if (lies) delete request.headers["if-range"];
        serveFile(lies ? old : bytes, lies ? { etag: tag } : {})(request, response, index);
      };
      const first = origin().requests.length;
      await succeeds({ cacheDir: join(directory(), `v${before}`) });
    }
  });

  it("51: a file that never stays the same is an error", async () => {
    origin().handler = (request, response, index) => serveFile(bytes, { etag: `"${index}"` })(request, response, index);
    await refuses("RANKCAST_SOURCE_CHANGED");
  });

  it("51: what an earlier process has of another version is dropped", async () => {
    origin().handler = (request, response, index) => {
      if (index < 2) serveFile(randomBytes(200_000, 9))(request, response, index);
      else response.destroy();
    };
    await refuses("RANKCAST_NETWORK", { limits: limits({ httpAttempts: 1, httpConnections: 1 }) }).catch((error: CheckpointError) =>
      expect(error.class).to.equal("network"),
    );
    origin().handler = serveFile(bytes);
    await succeeds();
  });

  it("52: with a weak validator nothing is put together", async () => {
    let cuts = 0;
    origin().handler = serveFile(bytes, { etag: 'W/"weak"', pieceBytes: 10_000, beforePiece: (sent) => sent !== 50_000 || cuts++ > 0 });
    await succeeds();
    expect(origin().requests.filter((request, index) => index > 0 && request.headers.range !== undefined)).to.deep.equal([]);
  });
});
