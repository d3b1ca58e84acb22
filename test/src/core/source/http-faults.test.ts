/** One test per way in which a server can fail or lie; the numbers are those of the fault list the design was made against. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type CheckpointError, compileLimits } from "@rankcast/core";
import { type FetchEvent, type FetchedFile, type FetchOptions, fetchToCache, readEnvironment } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { type Handler, LyingServer, sendRaw, serveFile } from "../../support/lying-server.ts";
import { randomBytes } from "../../support/random-bytes.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("faults of servers", () => {
  const directory = temporaryDirectory();
  const bytes = randomBytes(200_000);
  let server: LyingServer;
  const events: FetchEvent[] = [];
  beforeEach(async () => {
    events.length = 0;
    server = await LyingServer.start(serveFile(bytes));
  });
  afterEach(() => server.close());

  const limits = (overrides: Partial<Record<string, number>> = {}) =>
    compileLimits({ httpRangeBytes: 65_536, idleMs: 600, httpRetryMs: 1, httpConnections: 4, ...overrides });
  const fetch = (options: FetchOptions = {}, path = "/model.pt"): Promise<FetchedFile> =>
    fetchToCache(server.url + path, {
      cacheDir: join(directory(), "cache"),
      limits: limits(),
      environment: readEnvironment({ HOME: directory() }),
      onProgress: (event) => events.push(event),
      ...options,
    });
  const leftovers = (): Promise<string[]> => readdir(join(directory(), "cache", "partial")).catch(() => []);
  const stored = (): Promise<string[]> => readdir(join(directory(), "cache", "objects")).catch(() => []);
  const succeeds = async (options?: FetchOptions): Promise<FetchedFile> => {
    const fetched = await fetch(options);
    expect(await readFile(fetched.path)).to.deep.equal(bytes);
    expect(await leftovers()).to.deep.equal([]);
    return fetched;
  };
  /** Fails, and nothing can be mistaken for the file afterwards. */
  const refuses = async (code: string, options?: FetchOptions): Promise<CheckpointError> => {
    const error = await expectError(code, fetch(options));
    expect(await stored()).to.deep.equal([]);
    expect((await leftovers()).filter((name) => name.endsWith(".part"))).to.have.length(
      error.class === "network" ? (await leftovers()).length / 2 : 0,
    );
    return error;
  };
  const retries = (): number => events.filter((event) => event.type === "retry").length;

  it("44: a cut body is fetched on from the missing byte, wherever it is cut", async () => {
    for (const ranges of [true, false]) {
      for (let cut = 0; cut <= 6; cut += 1) {
        let cuts = 0;
        const etag = ranges ? {} : { etag: null };
        server.handler = serveFile(bytes, {
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
    server.handler = serveFile(bytes, { pieceBytes: 10_000, beforePiece: (sent) => sent !== 20_000 || cuts++ > 2 }, () => server);
    const fetched = await succeeds();
    expect(cuts).to.be.greaterThan(2);
    expect(fetched.origin).to.include({ bytesRead: 200_000, retries: 3 });
    expect(server.bytesServed).to.equal(200_000);
  });

  it("44: a body that is always cut at the same byte is an error, and the rest waits for a better day", async () => {
    server.handler = serveFile(bytes, { pieceBytes: 10_000, beforePiece: (sent) => sent < 20_000 });
    // Each resumed request is cut after 20 000 bytes too, so the bound is the number of requests.
    const error = await refuses("RANKCAST_HTTP_SHORT", { limits: limits({ httpRetries: 3, httpConnections: 1 }) });
    expect(error.class).to.equal("network");
    server.handler = serveFile(bytes, {}, () => server);
    await succeeds();
    expect(server.bytesServed).to.be.lessThan(200_000);
  });

  it("44: a server without ranges that always cuts is given up, though each try brings bytes", async () => {
    server.handler = serveFile(bytes, { ranges: false, etag: null, pieceBytes: 10_000, beforePiece: (sent) => sent < 150_000 });
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
      server.handler = raw(separate);
      const outcome = await fetch({ cacheDir: join(directory(), `c${separate}`) }).catch((error: unknown) => error as CheckpointError);
      if ("path" in outcome) expect(await readFile(outcome.path)).to.deep.equal(bytes);
      else expect(outcome.class).to.be.oneOf(["http", "network"]);
    }
  });

  it("45: a part longer than its range is an error and is not written", async () => {
    server.handler = (request, response, index) => {
      if (index === 0) return serveFile(bytes)(request, response, index);
      response.writeHead(206, { "content-range": "bytes 65536-131071/200000", etag: serverEtag(bytes), "transfer-encoding": "chunked" });
      response.end(bytes.subarray(65_536, 140_000));
    };
    await refuses("RANKCAST_HTTP_LENGTH", { limits: limits({ httpConnections: 1 }) });
  });

  it("46: a body that ends with the connection counts only when its digest is known", async () => {
    server.handler = (_, response) => {
      sendRaw(response, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", bytes);
      response.socket?.end();
    };
    await refuses("RANKCAST_HTTP_LENGTH");
    await succeeds({ sha256: sha256(bytes) });
    server.handler = (_, response) => {
      sendRaw(response, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", bytes.subarray(0, 1000));
      response.socket?.end();
    };
    await expectError("RANKCAST_HASH_MISMATCH", fetch({ sha256: sha256(bytes), cacheDir: join(directory(), "other") }));
  });

  it("47: a chunked body without its last chunk is cut; with it, complete", async () => {
    let broken = true;
    server.handler = (_, response) => {
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
    server.handler = (_, response) => {
      sendRaw(response, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    };
    const error = await fetch({ limits: limits({ httpAttempts: 2 }) }).catch((caught: unknown) => caught as CheckpointError);
    expect(error).to.have.property("class").oneOf(["http", "network"]);
    expect(await stored()).to.deep.equal([]);
  });

  it("49: a range answered with 200 gives the right file in one stream", async () => {
    server.handler = serveFile(bytes, { ranges: false });
    await succeeds();
    expect(server.requests).to.have.length(1);
  });

  it("49: ranges that stop working half-way restart as one stream", async () => {
    server.handler = (request, response, index) => serveFile(bytes, { ranges: index < 2 })(request, response, index);
    await succeeds();
    expect(server.requests.at(-1)?.headers).to.not.have.property("range");
  });

  it("50: a wrong Content-Range is an error", async () => {
    for (const wrong of ["bytes 1-65536/200000", "bytes 0-65535/*x", "bytes 0-99999/200000", "items 0-65535/200000", "bytes 0-65535/100"]) {
      server.handler = (_, response) => {
        response.writeHead(206, { "content-range": wrong, etag: '"a"', "content-length": 65_536 }).end(bytes.subarray(0, 65_536));
      };
      const error = await refuses("RANKCAST_HTTP_RANGE");
      expect(error.class).to.equal("http");
      expect(error.details).to.include({ found: wrong });
    }
  });

  it("50: a wrong Content-Range of a later part is an error too", async () => {
    server.handler = (request, response, index) => {
      if (index === 0) return serveFile(bytes)(request, response, index);
      response
        .writeHead(206, { "content-range": "bytes 0-65535/200000", etag: serverEtag(bytes), "content-length": 65_536 })
        .end(bytes.subarray(0, 65_536));
    };
    await refuses("RANKCAST_HTTP_RANGE");
  });

  it("50: a server that sends less than the range is asked for the rest", async () => {
    server.handler = (request, response, index) => {
      const match = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
      if (match) request.headers.range = `bytes=${match[1]}-${Math.min(Number(match[2]), Number(match[1]) + 9_999)}`;
      serveFile(bytes)(request, response, index);
    };
    expect((await succeeds()).origin.bytesRead).to.equal(200_000);
  });

  it("51: a file that changes between parts is fetched again, in one version", async () => {
    const old = randomBytes(200_000, 9);
    server.handler = (request, response, index) => serveFile(index < 2 ? old : bytes)(request, response, index);
    await succeeds();
  });

  it("51: a file that never stays the same is an error", async () => {
    server.handler = (request, response, index) => serveFile(bytes, { etag: `"${index}"` })(request, response, index);
    await refuses("RANKCAST_SOURCE_CHANGED");
  });

  it("51: what an earlier process has of another version is dropped", async () => {
    server.handler = (request, response, index) => {
      if (index < 2) serveFile(randomBytes(200_000, 9))(request, response, index);
      else response.destroy();
    };
    await refuses("RANKCAST_NETWORK", { limits: limits({ httpAttempts: 1, httpConnections: 1 }) }).catch((error: CheckpointError) =>
      expect(error.class).to.equal("network"),
    );
    server.handler = serveFile(bytes);
    await succeeds();
  });

  it("52: with a weak validator nothing is put together", async () => {
    let cuts = 0;
    server.handler = serveFile(bytes, { etag: 'W/"weak"', pieceBytes: 10_000, beforePiece: (sent) => sent !== 50_000 || cuts++ > 0 });
    await succeeds();
    expect(server.requests.filter((request, index) => index > 0 && request.headers.range !== undefined)).to.deep.equal([]);
  });

  it("53: an encoded body is refused and never inflated", async () => {
    server.handler = (_, response) => response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(Buffer.alloc(2 ** 26)));
    const error = await refuses("RANKCAST_HTTP_ENCODING");
    expect(error.class).to.equal("http");
  });

  it("54: a wrong digest removes the file and says both, without trying again", async () => {
    const error = await refuses("RANKCAST_HASH_MISMATCH", { sha256: "0".repeat(64) });
    expect(error.class).to.equal("integrity");
    expect(error.details).to.include({ expected: "0".repeat(64), found: sha256(bytes) });
    expect(error.message).to.contain(`invalid hash value (expected "${"0".repeat(64)}", got "${sha256(bytes)}")`);
    expect(server.requests.length).to.be.lessThan(5);
    await expectError("RANKCAST_HASH_MISMATCH", fetch({}, "/model-0123abcd.pth"));
  });

  it("54: digests that the server announces are checked", async () => {
    for (const headers of [
      { "repr-digest": `sha-256=:${Buffer.alloc(32).toString("base64")}:` },
      { digest: `SHA-256=${Buffer.alloc(32).toString("base64")}` },
      { "content-md5": Buffer.alloc(16).toString("base64") },
      { "x-goog-hash": `crc32c=AAAAAA==,md5=${Buffer.alloc(16).toString("base64")}` },
    ]) {
      server.handler = serveFile(bytes, { headers, ranges: false });
      await refuses("RANKCAST_HASH_MISMATCH");
    }
    const md5 = createHash("md5").update(bytes).digest("base64");
    server.handler = serveFile(bytes, { headers: { "x-goog-hash": `md5=${md5}`, digest: "sha-256=garbage" } });
    await succeeds();
  });

  it("55: 429 and 503 are waited out as told", async () => {
    server.handler = (request, response, index) => {
      if (index % 2 === 1) response.writeHead(index % 4 === 1 ? 429 : 503, { "retry-after": "0" }).end("busy");
      else serveFile(bytes)(request, response, index);
    };
    const fetched = await succeeds();
    expect(fetched.origin.retries).to.be.greaterThan(1);
  });

  it("55: a wait that is asked for is capped, and does not count as silence", async () => {
    let refused = 0;
    server.handler = (request, response, index) => {
      if (refused++ === 0) response.writeHead(503, { "retry-after": "3600" }).end();
      else serveFile(bytes)(request, response, index);
    };
    await succeeds({ limits: limits({ idleMs: 150 }) });
    expect(events.find((event) => event.type === "retry")).to.include({ delayMs: 150, code: "RANKCAST_HTTP_STATUS" });
  });

  it("55: a server that is always busy is an error with its answer", async () => {
    server.handler = (_, response) => response.writeHead(503).end("come back \u001b[31mlater");
    const error = await refuses("RANKCAST_HTTP_STATUS");
    expect(error.message).to.contain('the server answered 503: "come back \\\\u001b[31mlater"');
    expect(server.requests).to.have.length(5);
  });

  it("56: one silence is survived by resuming", async () => {
    for (const silentBytes of [-1, 0, 30_000]) {
      let first = true;
      server.handler = (request, response, index) => {
        if (!first) return serveFile(bytes)(request, response, index);
        first = false;
        if (silentBytes < 0) return;
        response.writeHead(206, { "content-range": "bytes 0-65535/200000", etag: serverEtag(bytes), "content-length": 65_536 });
        response.write(bytes.subarray(0, silentBytes));
        response.flushHeaders();
      };
      await succeeds({ cacheDir: join(directory(), `s${silentBytes}`), limits: limits({ idleMs: 300 }) });
      expect(retries()).to.equal(1);
      events.length = 0;
    }
  });

  it("56: a server that stays silent is a typed error inside the limit", async () => {
    server.handler = () => undefined;
    const started = performance.now();
    const error = await refuses("RANKCAST_NETWORK_SILENT", { limits: limits({ idleMs: 300 }) });
    expect(error.details).to.include({ idleMs: 300 });
    expect(error.class).to.equal("network");
    // The lower bound proves that one silent try does not end it.
    expect(performance.now() - started).to.be.within(250, 5_000);
    expect(server.requests).to.have.length.within(2, 5);
  });

  it("57: redirects to other protocols are refused", async () => {
    for (const location of ["file:///etc/passwd", "data:text/plain,hello", "ftp://127.0.0.1/x", "javascript:1", "http://"]) {
      server.handler = (_, response) => response.writeHead(302, { location }).end();
      expect((await refuses("RANKCAST_REDIRECT")).class).to.equal("http");
    }
    server.handler = (_, response) => response.writeHead(302).end();
    await refuses("RANKCAST_REDIRECT");
  });

  it("58: credentials stay with scheme, host and port, also when a redirect comes back", async () => {
    const secrets = { authorization: "Bearer s3cr3t", cookie: "a=s3cr3t", "x-api-key": "s3cr3t", "private-token": "s3cr3t" };
    const other = await LyingServer.start((_, response) => response.writeHead(302, { location: `${server.url}/back` }).end());
    server.handler = (request, response, index) => {
      if (request.url === "/model.pt") response.writeHead(307, { location: "/same" }).end();
      else if (request.url === "/same") response.writeHead(302, { location: `${other.url}/away` }).end();
      else serveFile(bytes)(request, response, index);
    };
    await succeeds({ headers: secrets });
    await other.close();
    expect(server.requests.slice(0, 2).map((each) => each.headers["x-api-key"])).to.deep.equal(["s3cr3t", "s3cr3t"]);
    const away = [...other.requests, ...server.requests.filter((each) => each.url === "/back")];
    expect(away.length).to.be.greaterThan(2);
    expect(JSON.stringify(away)).to.not.contain("s3cr3t");
  });

  it("58: user and password of a URL become Basic auth for its origin and appear nowhere", async () => {
    const other = await LyingServer.start(serveFile(bytes));
    server.handler = (_, response) => response.writeHead(302, { location: `${other.url}/x?sig=hidden` }).end();
    const url = server.url.replace("//", "//us%40er:pa%2Fss@");
    const cacheDir = join(directory(), "cache");
    const fetched = await fetchToCache(`${url}/m.pt?key=hidden#frag`, {
      cacheDir,
      limits: limits(),
      onProgress: (event) => events.push(event),
    });
    expect(server.requests[0]?.headers.authorization).to.equal(`Basic ${Buffer.from("us@er:pa/ss").toString("base64")}`);
    expect(other.requests[0]?.headers).to.not.have.property("authorization");
    server.handler = (_, response) => response.writeHead(403).end();
    const error = await expectError("RANKCAST_HTTP_AUTH", fetchToCache(`${url}/n.pt?key=hidden`, { cacheDir, limits: limits() }));
    await other.close();
    const urls = await readdir(join(cacheDir, "urls"));
    const sidecar = await readFile(join(cacheDir, "urls", urls[0] ?? ""), "utf8");
    const everything = JSON.stringify([fetched, events, urls, sidecar, error.message, error.details, String(error.cause)]);
    for (const secret of ["pa/ss", "pa%2Fss", "us@er", "us%40er", "hidden"]) expect(everything).to.not.contain(secret);
  });

  it("59: loops and long chains of redirects end", async () => {
    server.handler = (_, response) => response.writeHead(301, { location: "/model.pt" }).end();
    await refuses("RANKCAST_REDIRECT");
    expect(server.requests).to.have.length(6);
    server.handler = (request, response, index) => {
      const hop = Number(request.url?.slice(2));
      if (request.url !== "/model.pt" && hop >= 5) serveFile(bytes)(request, response, index);
      else response.writeHead(308, { location: `/h${(hop || 0) + 1}` }).end();
    };
    await succeeds();
  });

  it("60: private addresses are refused when asked to, also behind names and redirects", async () => {
    const error = await refuses("RANKCAST_ADDRESS_BLOCKED", { blockPrivateAddresses: true });
    expect(error.class).to.equal("network");
    for (const host of ["localhost", "[::ffff:127.0.0.1]", "169.254.169.254", "[::1]", "10.0.0.1", "0x7f.1", "2130706433"]) {
      const url = `http://${host}:${new URL(server.url).port}/m.pt`;
      const options = {
        blockPrivateAddresses: true,
        cacheDir: join(directory(), "cache"),
        limits: limits(),
        environment: readEnvironment({}),
      };
      await expectError("RANKCAST_ADDRESS_BLOCKED", fetchToCache(url, options));
    }
    expect(server.requests).to.deep.equal([]);
  });

  it("refuses a web page before it is downloaded, whatever its type", async () => {
    for (const page of ["<!DOCTYPE html><title>Log in", "\ufeff \n<HTML>", "<?xml version='1.0'?><html>"]) {
      for (const type of ["text/html", "application/octet-stream"]) {
        server.handler = (_, response) => response.writeHead(200, { "content-type": type }).end(page);
        expect((await refuses("RANKCAST_HTTP_HTML")).class).to.equal("http");
      }
    }
    server.handler = serveFile(bytes, { headers: { "content-type": "text/html" } });
    await succeeds();
  });

  it("gives each status its class", async () => {
    for (const [status, code, kind] of [
      [401, "RANKCAST_HTTP_AUTH", "auth"],
      [403, "RANKCAST_HTTP_AUTH", "auth"],
      [404, "RANKCAST_NOT_FOUND", "not-found"],
      [410, "RANKCAST_NOT_FOUND", "not-found"],
      [400, "RANKCAST_HTTP_STATUS", "http"],
      [451, "RANKCAST_HTTP_STATUS", "http"],
      [500, "RANKCAST_HTTP_STATUS", "http"],
      [204, "RANKCAST_HTTP_STATUS", "http"],
    ] as const) {
      server.handler = (_, response: ServerResponse) => response.writeHead(status).end("why");
      const error = await refuses(code, { limits: limits({ httpAttempts: 2 }) });
      expect(error.class).to.equal(kind);
      expect(error.details).to.include({ status });
    }
  });

  it("says when nobody listens or a name does not exist", async () => {
    await server.close();
    expect((await refuses("RANKCAST_NETWORK")).details).to.include({ systemError: "ECONNREFUSED" });
    server = await LyingServer.start(serveFile(bytes));
  });

  it("asks the URL again when the address it redirected to has run out", async () => {
    let signature = 0;
    server.handler = (request, response, index) => {
      if (request.url === "/model.pt") response.writeHead(302, { location: `/signed?s=${signature}` }).end();
      else if (request.url === `/signed?s=${signature}`) {
        serveFile(bytes)(request, response, index);
        signature += index % 2;
      } else response.writeHead(403).end("expired");
    };
    await succeeds();
    expect(signature).to.be.greaterThan(0);
  });
});

function serverEtag(bytes: Uint8Array): string {
  return `"${createHash("md5").update(bytes).digest("hex")}"`;
}
