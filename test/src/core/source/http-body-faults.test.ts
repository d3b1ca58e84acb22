/** One test per way in which a server can fail or lie; the numbers are those of the fault list the design was made against. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { CheckpointError } from "@rankcast/core";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { faultyDownloads, strongEtag } from "../../support/faulty-downloads.ts";
import { type Handler, sendRaw, serveFile } from "../../support/lying-server.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("faults of servers: bodies that are cut, too long, unframed, encoded or wrong", () => {
  const { origin, bytes, directory, limits, fetch, refuses, succeeds, stored, retries } = faultyDownloads();

  it("44: a cut body is fetched on from the missing byte, wherever it is cut", async () => {
    for (const ranges of [true, false]) {
      for (let cut = 0; cut <= 6; cut += 1) {
        let cuts = 0;
        const etag = ranges ? {} : { etag: null };
        origin().handler = serveFile(bytes, {
          ranges,
          ...etag,
          pieceBytes: 30_000,
          beforePiece: (sent) => sent !== cut * 30_000 || cuts++ > 0,
        });
        await succeeds({ cacheDir: join(directory(), `${ranges}${cut}`) });
        expect(cuts, `cut after ${cut} pieces`).to.be.greaterThan(cut * 30_000 < (ranges ? 65_536 : 200_000) ? 0 : -1);
      }
    }
  });

  it("44: resuming re-reads nothing", async () => {
    let cuts = 0;
    origin().handler = serveFile(bytes, { pieceBytes: 10_000, beforePiece: (sent) => sent !== 20_000 || cuts++ > 2 }, origin);
    const fetched = await succeeds();
    expect(cuts).to.be.greaterThan(2);
    expect(fetched.origin).to.include({ bytesRead: 200_000, retries: 3 });
    expect(origin().bytesServed).to.equal(200_000);
  });

  it("44: a body that is always cut at the same byte is an error, and the rest waits for a better day", async () => {
    origin().handler = serveFile(bytes, { pieceBytes: 10_000, beforePiece: (sent) => sent < 20_000 });
    // Each resumed request is cut after 20 000 bytes too, so the bound is the number of requests.
    const error = await refuses("RANKCAST_HTTP_SHORT", { limits: limits({ httpRetries: 3, httpConnections: 1 }) });
    expect(error.class).to.equal("network");
    origin().handler = serveFile(bytes, {}, origin);
    await succeeds();
    expect(origin().bytesServed).to.be.lessThan(200_000);
  });

  it("44: a server without ranges that always cuts is given up, though each try brings bytes", async () => {
    origin().handler = serveFile(bytes, { ranges: false, etag: null, pieceBytes: 10_000, beforePiece: (sent) => sent < 150_000 });
    await refuses("RANKCAST_HTTP_SHORT");
    expect(retries()).to.be.lessThan(8);
  });

  it("45: a body longer than declared is an error or the exact bytes, in one segment or two", async () => {
    const raw =
      (separate: boolean): Handler =>
      (_, response) => {
        const head = `HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`;
        if (separate) sendRaw(response, Buffer.concat([Buffer.from(head), bytes]), "X");
        else sendRaw(response, Buffer.concat([Buffer.from(head), bytes, Buffer.from("X")]));
      };
    for (const separate of [false, true]) {
      origin().handler = raw(separate);
      const outcome = await fetch({ cacheDir: join(directory(), `c${separate}`) }).catch((error: unknown) => error as CheckpointError);
      if ("path" in outcome) expect(await readFile(outcome.path)).to.deep.equal(bytes);
      else expect(outcome.class).to.be.oneOf(["http", "network"]);
    }
  });

  it("45: a part longer than its range is an error and is not written", async () => {
    origin().handler = (request, response, index) => {
      if (index === 0) return serveFile(bytes)(request, response, index);
      response.writeHead(206, { "content-range": "bytes 65536-131071/200000", etag: strongEtag(bytes), "transfer-encoding": "chunked" });
      response.end(bytes.subarray(65_536, 140_000));
    };
    await refuses("RANKCAST_HTTP_LENGTH", { limits: limits({ httpConnections: 1 }) });
  });

  it("46: a body that ends with the connection counts only when its digest is known", async () => {
    origin().handler = (_, response) => {
      sendRaw(response, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", bytes);
      response.socket?.end();
    };
    await refuses("RANKCAST_HTTP_LENGTH");
    await succeeds({ sha256: sha256(bytes) });
    origin().handler = (_, response) => {
      sendRaw(response, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", bytes.subarray(0, 1000));
      response.socket?.end();
    };
    await expectError("RANKCAST_HASH_MISMATCH", fetch({ sha256: sha256(bytes), cacheDir: join(directory(), "other") }));
  });

  it("47: a chunked body without its last chunk is cut; with it, complete", async () => {
    let broken = true;
    origin().handler = (_, response) => {
      sendRaw(
        response,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        `${bytes.length.toString(16)}\r\n`,
        bytes,
        broken ? "\r\n" : "\r\n0\r\n\r\n",
      );
      if (broken) response.socket?.end();
    };
    await refuses("RANKCAST_HTTP_SHORT", { limits: limits({ httpAttempts: 2 }) });
    broken = false;
    await succeeds();
  });

  it("48: a length declared twice is refused", async () => {
    origin().handler = (_, response) => {
      sendRaw(response, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    };
    const error = await fetch({ limits: limits({ httpAttempts: 2 }) }).catch((caught: unknown) => caught as CheckpointError);
    expect(error).to.have.property("class").oneOf(["http", "network"]);
    expect(await stored()).to.deep.equal([]);
  });

  it("53: an encoded body is refused and never inflated", async () => {
    origin().handler = (_, response) => response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(Buffer.alloc(2 ** 26)));
    const error = await refuses("RANKCAST_HTTP_ENCODING");
    expect(error.class).to.equal("http");
  });

  it("54: a wrong digest removes the file and says both, without trying again", async () => {
    const error = await refuses("RANKCAST_HASH_MISMATCH", { sha256: "0".repeat(64) });
    expect(error.class).to.equal("integrity");
    expect(error.details).to.include({ expected: "0".repeat(64), found: sha256(bytes) });
    expect(error.message).to.contain(`invalid hash value (expected "${"0".repeat(64)}", got "${sha256(bytes)}")`);
    expect(origin().requests.length).to.be.lessThan(5);
    await expectError("RANKCAST_HASH_MISMATCH", fetch({}, "/model-0123abcd.pth"));
  });

  it("54: digests that the server announces are checked", async () => {
    for (const headers of [
      { "repr-digest": `sha-256=:${Buffer.alloc(32).toString("base64")}:` },
      { digest: `SHA-256=${Buffer.alloc(32).toString("base64")}` },
      { "content-md5": Buffer.alloc(16).toString("base64") },
      { "x-goog-hash": `crc32c=AAAAAA==,md5=${Buffer.alloc(16).toString("base64")}` },
    ]) {
      origin().handler = serveFile(bytes, { headers, ranges: false });
      await refuses("RANKCAST_HASH_MISMATCH");
    }
    const md5 = createHash("md5").update(bytes).digest("base64");
    origin().handler = serveFile(bytes, { headers: { "x-goog-hash": `md5=${md5}`, digest: "sha-256=garbage" } });
    await succeeds();
  });
});
