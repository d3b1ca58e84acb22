import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { expect } from "chai";
import { faultyDownloads, strongEtag } from "../../support/faulty-downloads.ts";
import { serveFile } from "../../support/lying-server.ts";

describe("faults of servers: statuses, waits and silence", () => {
  const { origin, bytes, directory, events, limits, refuses, succeeds, retries } = faultyDownloads();

  it("55: 429 and 503 are waited out as told", async () => {
    origin().handler = (request, response, index) => {
      if (index % 2 === 1) response.writeHead(index % 4 === 1 ? 429 : 503, { "retry-after": "0" }).end("busy");
      else serveFile(bytes)(request, response, index);
    };
    const fetched = await succeeds();
    expect(fetched.origin.retries).to.be.greaterThan(1);
  });

  it("55: a wait that is asked for is capped, and does not count as silence", async () => {
    let refused = 0;
    origin().handler = (request, response, index) => {
      if (refused++ === 0) response.writeHead(503, { "retry-after": "3600" }).end();
      else serveFile(bytes)(request, response, index);
    };
    await succeeds({ limits: limits({ idleMs: 600 }) });
    expect(events.find((event) => event.type === "retry")).to.include({ delayMs: 600, code: "RANKCAST_HTTP_STATUS" });
  });

  it("55: a server that is always busy is an error with its answer", async () => {
    origin().handler = (_, response) => response.writeHead(503).end("come back \u001b[31mlater");
    const error = await refuses("RANKCAST_HTTP_STATUS");
    expect(error.message).to.contain('the server answered 503: "come back \\\\u001b[31mlater"');
    expect(origin().requests).to.have.length(5);
  });

  it("56: one silence is survived by resuming", async () => {
    for (const silentBytes of [-1, 0, 30_000]) {
      let first = true;
      origin().handler = (request, response, index) => {
        if (!first) return serveFile(bytes)(request, response, index);
        first = false;
        if (silentBytes < 0) return;
        response.writeHead(206, { "content-range": "bytes 0-65535/200000", etag: strongEtag(bytes), "content-length": 65_536 });
        response.write(bytes.subarray(0, silentBytes));
        response.flushHeaders();
      };
      await succeeds({ cacheDir: join(directory(), `s${silentBytes}`), limits: limits({ idleMs: 1_500 }) });
      expect(retries()).to.equal(1);
      events.length = 0;
    }
  });

  it("56: a server that stays silent is a typed error inside the limit", async () => {
    origin().handler = () => undefined;
    const error = await refuses("RANKCAST_NETWORK_SILENT", { limits: limits({ idleMs: 300 }) });
    expect(error.details).to.include({ idleMs: 300 });
    expect(error.class).to.equal("network");
    // One silent try does not end it; how long all of them together may take is tested with RetryPolicy's clock.
    expect(origin().requests).to.have.length.within(2, 5);
  });

  it("refuses a web page before it is downloaded, whatever its type", async () => {
    for (const page of ["<!DOCTYPE html><title>Log in", "\ufeff \n<HTML>", "<?xml version='1.0'?><html>"]) {
      for (const type of ["text/html", "application/octet-stream"]) {
        origin().handler = (_, response) => response.writeHead(200, { "content-type": type }).end(page);
        expect((await refuses("RANKCAST_HTTP_HTML")).class).to.equal("http");
      }
    }
    origin().handler = serveFile(bytes, { headers: { "content-type": "text/html" } });
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
      origin().handler = (_, response: ServerResponse) => response.writeHead(status).end("why");
      const error = await refuses(code, { limits: limits({ httpAttempts: 2 }) });
      expect(error.class).to.equal(kind);
      expect(error.details).to.include({ status });
    }
  });

  it("says when nobody listens or a name does not exist", async () => {
    await origin().close();
    expect((await refuses("RANKCAST_NETWORK")).details).to.include({ systemError: "ECONNREFUSED" });
  });
});
