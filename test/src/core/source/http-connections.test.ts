/** How connections are made: TLS, proxies, pooled agents. */
import { readFile } from "node:fs/promises";
import { type ClientRequest, IncomingMessage } from "node:http";
import { join } from "node:path";
import { compileLimits } from "@rankcast/core";
import { type FetchOptions, fetchToCache, proxyFor, readEnvironment } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { LyingServer, serveFile } from "../../support/lying-server.ts";
import { type ProxyServer, startProxy } from "../../support/proxy-server.ts";
import { randomBytes } from "../../support/random-bytes.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

/** Runs `action` and counts the bytes of bodies that Node's HTTP parser gives to requests with `X-Hop`. */
async function bodiesOfParser<T>(action: () => Promise<T>): Promise<{ result: T; bodyBytes: number }> {
  let bodyBytes = 0;
  const message = IncomingMessage.prototype as unknown as { push(piece: unknown): boolean };
  const { push } = message;
  const counting = function (this: { req?: ClientRequest }, piece: unknown): boolean {
    if (piece instanceof Uint8Array && this.req?.getHeader("x-hop") !== undefined) bodyBytes += piece.length;
    return push.call(this, piece);
  };
  Object.defineProperty(message, "push", { value: counting, configurable: true });
  try {
    return { result: await action(), bodyBytes };
  } finally {
    Reflect.deleteProperty(message, "push");
  }
}

const pem = (name: string): Promise<string> => readFile(new URL(`../../../fixtures/tls/${name}`, import.meta.url), "utf8");

describe("connections", () => {
  const directory = temporaryDirectory();
  const bytes = randomBytes(100_000);
  const open: { close(): Promise<void> }[] = [];
  const keep = <T extends { close(): Promise<void> }>(server: T): T => {
    open.push(server);
    return server;
  };
  afterEach(async () => {
    for (const server of open.splice(0)) await server.close();
  });
  const fetch = (url: string, options: FetchOptions = {}, variables: Record<string, string> = {}) =>
    fetchToCache(url, {
      cacheDir: join(directory(), "cache"),
      limits: compileLimits({ httpRetryMs: 1, httpRangeBytes: 50_000 }),
      environment: readEnvironment({ HOME: directory(), ...variables }),
      ...options,
    });
  const secure = async (certificate: string): Promise<LyingServer> =>
    keep(await LyingServer.start(serveFile(bytes), { key: await pem("server.key"), cert: await pem(certificate) }));

  it("61: refuse certificates that are self-signed, expired or of another name, whatever the environment says", async () => {
    const before = process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    try {
      for (const [certificate, reason] of [
        ["good.crt", "DEPTH_ZERO_SELF_SIGNED_CERT"],
        ["wrong-name.crt", "ERR_TLS_CERT_ALTNAME_INVALID"],
        ["expired.crt", "CERT_HAS_EXPIRED"],
      ] as const) {
        const server = await secure(certificate);
        const options = certificate === "good.crt" ? {} : { ca: await pem(certificate) };
        const error = await expectError("RANKCAST_TLS", fetch(`${server.url}/m.pt`, options));
        expect(error.class).to.equal("network");
        expect(error.details).to.include({ systemError: reason });
        expect(server.requests).to.deep.equal([]);
      }
    } finally {
      if (before === undefined) delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
      else process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = before;
    }
  });

  it("trust a private authority when told, and never go from https to http", async () => {
    const plain = keep(await LyingServer.start(serveFile(bytes)));
    const server = await secure("good.crt");
    const ca = await pem("good.crt");
    expect((await fetch(`${server.url}/m.pt`, { ca })).sizeBytes).to.equal(100_000);
    server.handler = (_, response) => response.writeHead(302, { location: `${plain.url}/m.pt` }).end();
    await expectError("RANKCAST_REDIRECT", fetch(`${server.url}/n.pt`, { ca }));
    expect(plain.requests).to.deep.equal([]);
  });

  describe("through proxies", () => {
    let proxy: ProxyServer;
    beforeEach(async () => {
      proxy = keep(await startProxy());
    });

    it("carry http and https, with the proxy's credentials for the proxy only", async () => {
      const plain = keep(await LyingServer.start(serveFile(bytes)));
      const server = await secure("good.crt");
      const variables = { http_proxy: proxy.url.replace("//", "//us%65r:p@"), HTTPS_PROXY: proxy.url };
      expect((await fetch(`${plain.url}/m.pt`, {}, variables)).sizeBytes).to.equal(100_000);
      expect(proxy.seen).to.deep.equal([`GET ${plain.url}/m.pt`, `GET ${plain.url}/m.pt`]);
      expect(proxy.authorizations[0]).to.equal(`Basic ${Buffer.from("user:p").toString("base64")}`);
      expect(plain.requests[0]?.headers).to.not.have.property("proxy-authorization");
      expect((await fetch(`${server.url}/m.pt`, { ca: await pem("good.crt") }, variables)).sizeBytes).to.equal(100_000);
      expect(proxy.seen.at(-1)).to.equal(`CONNECT ${new URL(server.url).host}`);
    });

    it("go past Node's parser and serve one request after the other, also through a proxy that is spoken to over TLS", async () => {
      const [key, cert] = [await pem("server.key"), await pem("good.crt")];
      const secureProxy = keep(await startProxy(undefined, {}, { key, cert }));
      for (const each of [proxy, secureProxy]) {
        const plain = keep(await LyingServer.start(serveFile(bytes)));
        const server = await secure("good.crt");
        for (const origin of [plain, server]) {
          const before = each.accepted();
          const limits = compileLimits({ httpRetryMs: 1, httpRangeBytes: 20_000, httpConnections: 1 });
          const cacheDir = join(directory(), new URL(origin.url).port);
          // The parser would take a body in pieces of its own: it must see none.
          const seen = await bodiesOfParser(() =>
            fetch(
              `${origin.url}/m.pt`,
              { ca: cert, limits, cacheDir, headers: { "x-hop": "1" } },
              { http_proxy: each.url, https_proxy: each.url },
            ),
          );
          expect(seen.result.origin).to.include({ requests: 5, bytesRead: bytes.length, retries: 0 });
          expect(await readFile(seen.result.path)).to.deep.equal(bytes);
          expect(seen.bodyBytes).to.equal(0);
          expect(origin.accepted, origin.url).to.be.at.most(origin === plain ? 5 : 1);
          expect(each.accepted() - before, `${each.url} to ${origin.url}`).to.equal(1);
        }
      }
    });

    it("try again when a proxy is busy or silent, and say so when it refuses", async () => {
      const server = await secure("good.crt");
      const ca = await pem("good.crt");
      const limits = compileLimits({ httpRetryMs: 1, idleMs: 9_000 });
      proxy.refusals.push(503, "silence");
      const fetched = await fetch(`${server.url}/m.pt`, { ca, limits }, { https_proxy: proxy.url });
      expect(fetched.origin).to.include({ retries: 2 });
      proxy.refusals.push(407);
      const variables = { https_proxy: proxy.url.replace("//", "//user:secret@") };
      const error = await expectError("RANKCAST_PROXY", fetch(`${server.url}/n.pt`, { ca, limits }, variables));
      expect(error.details).to.include({ status: 407 });
      expect(JSON.stringify([error.message, error.details])).to.not.contain("secret");
    });

    it("are given up when the caller gives up, also before the tunnel is open", async () => {
      const server = await secure("good.crt");
      const controller = new AbortController();
      proxy.refusals.push("silence");
      const fetching = fetch(`${server.url}/m.pt`, { signal: controller.signal }, { https_proxy: proxy.url }).catch(
        (error: unknown) => error,
      );
      while (proxy.seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
      controller.abort(new Error("enough"));
      expect(await fetching).to.have.property("message", "enough");
      // The proxy sees its connection close, too.
      while (proxy.open() > 0) await new Promise((resolve) => setImmediate(resolve));
    });

    it("leave out what no_proxy names, and refuse what is no http proxy", async () => {
      const plain = keep(await LyingServer.start(serveFile(bytes)));
      await fetch(`${plain.url}/m.pt`, {}, { http_proxy: proxy.url, no_proxy: "x.y, 127.0.0.1" });
      expect(proxy.seen).to.deep.equal([]);
      const error = await expectError("RANKCAST_PROXY", fetch(`${plain.url}/n.pt`, {}, { all_proxy: "socks5://user:secret@h:1" }));
      expect(JSON.stringify([error.message, error.details])).to.not.contain("secret");
    });

    it("check the name of an https server inside the tunnel", async () => {
      for (const certificate of ["wrong-name.crt", "localhost-only.crt"]) {
        const server = await secure(certificate);
        await expectError("RANKCAST_TLS", fetch(`${server.url}/m.pt`, { ca: await pem(certificate) }, { https_proxy: proxy.url }));
        expect(server.requests).to.deep.equal([]);
      }
    });
  });
});

describe("proxyFor", () => {
  const via = (url: string, proxies: Record<string, string>): string | undefined =>
    proxyFor(new URL(url), new Map(Object.entries(proxies)));

  it("chooses by scheme, then `all`", () => {
    expect(via("http://a/", { http: "http://p", https: "http://q" })).to.equal("http://p");
    expect(via("https://a/", { http: "http://p", all: "q:1" })).to.equal("http://q:1");
    expect(via("https://a/", { http: "http://p" })).to.equal(undefined);
  });

  // Each row was run through CPython 3.11's urllib.request.proxy_bypass_environment.
  it("bypasses as CPython does", () => {
    const rows: [string, string, boolean][] = [
      ["http://a.example.com/", "example.com", true],
      ["http://a.example.com/", ".example.com", true],
      ["http://example.com/", ".example.com", true],
      ["http://notexample.com/", "example.com", false],
      ["http://EXAMPLE.com/", "example.COM", true],
      ["http://example.com:8080/", "example.com:8080", true],
      ["http://example.com:8080/", "example.com", true],
      ["http://example.com:8081/", "example.com:8080", false],
      ["http://10.0.0.7/", "10.0.0.0/8", false],
      ["http://a/", "*", true],
      ["http://a/", "b, *", false],
      ["http://a/", " a ,b", true],
      ["http://a/", "", false],
      ["http://a/", ",,", false],
    ];
    for (const [url, no, bypassed] of rows)
      expect(via(url, { http: "http://p", no }) === undefined, `${url} no_proxy=${no}`).to.equal(bypassed);
  });
});
