import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fetchToCache, readEnvironment } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { faultyDownloads } from "../../support/faulty-downloads.ts";
import { LyingServer, serveFile } from "../../support/lying-server.ts";

describe("faults of servers: redirects and credentials", () => {
  const { origin, bytes, directory, events, limits, refuses, succeeds } = faultyDownloads();

  it("57: redirects to other protocols are refused", async () => {
    for (const location of ["file:///etc/passwd", "data:text/plain,hello", "ftp://127.0.0.1/x", "javascript:1", "http://"]) {
      origin().handler = (_, response) => response.writeHead(302, { location }).end();
      expect((await refuses("RANKCAST_REDIRECT")).class).to.equal("http");
    }
    origin().handler = (_, response) => response.writeHead(302).end();
    await refuses("RANKCAST_REDIRECT");
  });

  it("58: credentials stay with scheme, host and port, also when a redirect comes back", async () => {
    const secrets = { authorization: "Bearer s3cr3t", cookie: "a=s3cr3t", "x-api-key": "s3cr3t", "private-token": "s3cr3t" };
    const other = await LyingServer.start((_, response) => response.writeHead(302, { location: `${origin().url}/back` }).end());
    origin().handler = (request, response, index) => {
      if (request.url === "/model.pt") response.writeHead(307, { location: "/same" }).end();
      else if (request.url === "/same") response.writeHead(302, { location: `${other.url}/away` }).end();
      else serveFile(bytes)(request, response, index);
    };
    await succeeds({ headers: secrets });
    await other.close();
    expect(
      origin()
        .requests.slice(0, 2)
        .map((each) => each.headers["x-api-key"]),
    ).to.deep.equal(["s3cr3t", "s3cr3t"]);
    const away = [...other.requests, ...origin().requests.filter((each) => each.url === "/back")];
    expect(away.length).to.be.greaterThan(2);
    expect(JSON.stringify(away)).to.not.contain("s3cr3t");
  });

  it("58: user and password of a URL become Basic auth for its origin and appear nowhere", async () => {
    const other = await LyingServer.start(serveFile(bytes));
    origin().handler = (_, response) => response.writeHead(302, { location: `${other.url}/x?sig=hidden` }).end();
    const url = origin().url.replace("//", "//us%40er:pa%2Fss@");
    const cacheDir = join(directory(), "cache");
    const fetched = await fetchToCache(`${url}/m.pt?key=hidden#frag`, {
      cacheDir,
      limits: limits(),
      onProgress: (event) => events.push(event),
    });
    expect(origin().requests[0]?.headers.authorization).to.equal(`Basic ${Buffer.from("us@er:pa/ss").toString("base64")}`);
    expect(other.requests[0]?.headers).to.not.have.property("authorization");
    origin().handler = (_, response) => response.writeHead(403).end();
    const error = await expectError("RANKCAST_HTTP_AUTH", fetchToCache(`${url}/n.pt?key=hidden`, { cacheDir, limits: limits() }));
    await other.close();
    const urls = await readdir(join(cacheDir, "urls"));
    const sidecar = await readFile(join(cacheDir, "urls", urls[0] ?? ""), "utf8");
    const everything = JSON.stringify([fetched, events, urls, sidecar, error.message, error.details, String(error.cause)]);
    for (const secret of ["pa/ss", "pa%2Fss", "us@er", "us%40er", "hidden"]) expect(everything).to.not.contain(secret);
  });

  it("59: loops and long chains of redirects end", async () => {
    origin().handler = (_, response) => response.writeHead(301, { location: "/model.pt" }).end();
    await refuses("RANKCAST_REDIRECT");
    expect(origin().requests).to.have.length(6);
    origin().handler = (request, response, index) => {
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
      const url = `http://${host}:${new URL(origin().url).port}/m.pt`;
      const options = {
        blockPrivateAddresses: true,
        cacheDir: join(directory(), "cache"),
        limits: limits(),
        environment: readEnvironment({}),
      };
      await expectError("RANKCAST_ADDRESS_BLOCKED", fetchToCache(url, options));
    }
    expect(origin().requests).to.deep.equal([]);
  });

  it("asks the URL again when the address it redirected to has run out", async () => {
    let signature = 0;
    origin().handler = (request, response, index) => {
      if (request.url === "/model.pt") response.writeHead(302, { location: `/signed?s=${signature}` }).end();
      else if (request.url === `/signed?s=${signature}`) {
        serveFile(bytes)(request, response, index);
        signature += index % 2;
      } else response.writeHead(403).end("expired");
    };
    // One after the other: an address that runs out while another request is being led to it is another matter.
    await succeeds({ limits: limits({ httpConnections: 1 }) });
    expect(signature).to.be.greaterThan(0);
  });
});
