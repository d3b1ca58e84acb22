/** Object stores against a server made by others, and the search for a bucket's region over the real host names. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { compileLimits } from "@rankcast/core";
import {
  newReadStats,
  type ResolvedSource,
  type ResolveOptions,
  readBytes,
  readEnvironment,
  resolveWeights,
} from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { LyingServer, serveFile } from "../../support/lying-server.ts";
import { startProxy } from "../../support/proxy-server.ts";
import { randomBytes } from "../../support/random-bytes.ts";
import { entryBytes, expectFiles } from "../../support/resolved-files.ts";
import { S3_KEYS, type S3Server, startS3Server } from "../../support/s3-server.ts";
import { signatureProblem } from "../../support/signature-v4.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

describe("object stores made by others", () => {
  const directory = temporaryDirectory();
  const bytes = randomBytes(300_000);
  const resolve = async (weights: string, variables: Record<string, string>, options: ResolveOptions = {}): Promise<ResolvedSource> => {
    const environment = readEnvironment({ HOME: directory(), ...variables });
    const limits = compileLimits({ httpRetryMs: 1, httpRangeBytes: 65_536, httpAttempts: 2 });
    return expectFiles(await resolveWeights(weights, { environment, limits, ...options }));
  };

  describe("S3rver", () => {
    let server: S3Server;
    beforeEach(async () => {
      server = await startS3Server(join(directory(), "objects"), ["weights"]);
      await server.put("weights", "run 1/m+é.pt", bytes);
    });
    afterEach(() => server.close());
    const s3 = () => ({ AWS_ACCESS_KEY_ID: S3_KEYS.id, AWS_SECRET_ACCESS_KEY: S3_KEYS.secret, AWS_ENDPOINT_URL: server.url });
    const gs = () => ({ GS_ACCESS_KEY_ID: S3_KEYS.id, GS_SECRET_ACCESS_KEY: S3_KEYS.secret, STORAGE_EMULATOR_HOST: server.url });

    it("gives s3:// and gs:// an object in signed ranges, and the second time only its tag", async () => {
      for (const [uri, variables] of [
        ["s3://weights/run 1/m+é.pt", s3()],
        ["gs://weights/run 1/m+é.pt", gs()],
      ] as const) {
        const cacheDir = join(directory(), uri.slice(0, 2));
        const before = server.requests.length;
        const stats = newReadStats();
        expect(await entryBytes(await resolve(uri, variables, { stats, cacheDir }))).to.deep.equal(bytes);
        const seen = server.requests.slice(before);
        expect(stats).to.include({ requests: seen.length, bytesRead: bytes.length, bytesNeeded: bytes.length, retries: 0 });
        expect(seen.length).to.equal(5);
        for (const each of seen) expect(each.authorization).to.match(/^AWS4-HMAC-SHA256 Credential=S3RVER\/\d{8}\/(us-east-1|auto)\/s3\//);
        const again = newReadStats();
        expect(await entryBytes(await resolve(uri, variables, { stats: again, cacheDir }))).to.deep.equal(bytes);
        expect(again).to.include({ requests: 1, bytesRead: 0, cacheHits: 1 });
      }
    });

    it("gives parts of an object to nodes that share the reading, all of one version, and keeps nothing", async () => {
      for (const [uri, variables] of [
        ["s3://weights/run 1/m+é.pt", s3()],
        ["gs://weights/run 1/m+é.pt", gs()],
      ] as const) {
        const cacheDir = join(directory(), uri.slice(0, 2));
        const before = server.requests.length;
        const opened = [];
        for (const [access, stripeBytesMin] of [
          ["stripes", 300_000],
          ["stripes-only", 300_001],
          ["stripes", 300_001],
        ] as const) {
          const limits = compileLimits({ stripeBytesMin, httpRetryMs: 1 });
          const { entry, close } = await resolve(uri, variables, { access, limits, cacheDir });
          const part = entry && Buffer.from(await readBytes(entry, 200_000, 50_000));
          expect(part).to.deep.equal(bytes.subarray(200_000, 250_000));
          opened.push({ etag: entry?.version.etag, isLocal: entry?.file !== undefined });
          await close();
        }
        const etag = opened[0]?.etag;
        expect(etag).to.match(/^"[^"]+"$/);
        // The last one was too small to be shared, and was downloaded.
        expect(opened).to.deep.equal([
          { etag, isLocal: false },
          { etag, isLocal: false },
          { etag: undefined, isLocal: true },
        ]);
        const methods = server.requests.slice(before).map(({ method }) => method);
        expect(methods.slice(0, 5)).to.deep.equal(["HEAD", "GET", "GET", "GET", "GET"]);
        expect(methods[5]).to.equal("HEAD");
      }
    });

    it("refuses a wrong secret and an unknown key, and its reason reaches the message", async () => {
      for (const [uri, right, secret] of [
        ["s3://weights/run 1/m+é.pt", s3(), "AWS_SECRET_ACCESS_KEY"],
        ["gs://weights/run 1/m+é.pt", gs(), "GS_SECRET_ACCESS_KEY"],
      ] as const) {
        const wrong = await expectError("RANKCAST_HTTP_AUTH", resolve(uri, { ...right, [secret]: "other" }));
        expect(wrong.message).to.contain("SignatureDoesNotMatch").and.not.contain("other");
        const unknown = { ...right, [secret.replace("SECRET_ACCESS_KEY", "ACCESS_KEY_ID")]: "NOBODY" };
        expect((await expectError("RANKCAST_HTTP_AUTH", resolve(uri, unknown))).message).to.contain("InvalidAccessKeyId");
      }
    });

    it("says when an object or a bucket is not there", async () => {
      for (const uri of ["weights/none.pt", "nobody/m.pt"]) {
        expect((await expectError("RANKCAST_NOT_FOUND", resolve(`s3://${uri}`, s3()))).class).to.equal("not-found");
        expect((await expectError("RANKCAST_NOT_FOUND", resolve(`gs://${uri}`, gs()))).class).to.equal("not-found");
      }
    });
  });

  it("a bucket of another region is found, and signed for that region", async () => {
    const pem = (name: string): Promise<string> => readFile(new URL(`../../../fixtures/tls/${name}`, import.meta.url), "utf8");
    const keys = { AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE", AWS_SECRET_ACCESS_KEY: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" };
    const asked: string[] = [];
    let refusal: [number, string] = [0, ""];
    // As S3 answers: a bucket's region is told to anybody by any region, objects only by its own, and the redirect names no place to go to.
    const server = await LyingServer.start(
      (request, response, index) => {
        const { method = "", url = "", headers } = request;
        asked.push(`${method} ${headers.host}${url} ${headers.authorization === undefined ? "open" : "signed"}`);
        const elsewhere = headers.host !== "weights.s3.eu-central-1.amazonaws.com";
        if (elsewhere)
          return void response.writeHead(refusal[0], { "x-amz-bucket-region": "eu-central-1" }).end(`<Code>${refusal[1]}</Code>`);
        const problem = signatureProblem({ method, url, headers }, keys.AWS_ACCESS_KEY_ID, keys.AWS_SECRET_ACCESS_KEY, "eu-central-1");
        if (problem !== null) return void response.writeHead(403).end(`<Code>${problem}</Code>`);
        serveFile(bytes)(request, response, index);
      },
      { key: await pem("server.key"), cert: await pem("s3.crt") },
    );
    const proxy = await startProxy(new URL(server.url).host);
    try {
      for (refusal of [
        [301, "PermanentRedirect"],
        [400, "AuthorizationHeaderMalformed"],
      ] as [number, string][]) {
        asked.length = 0;
        const cacheDir = join(directory(), refusal[1]);
        const source = await resolve("s3://weights/m.pt", { ...keys, https_proxy: proxy.url }, { ca: await pem("s3.crt"), cacheDir });
        expect(await entryBytes(source)).to.deep.equal(bytes);
        expect(asked.slice(0, 3)).to.deep.equal([
          "GET weights.s3.us-east-1.amazonaws.com/m.pt signed",
          "HEAD s3.amazonaws.com/weights open",
          "GET weights.s3.eu-central-1.amazonaws.com/m.pt signed",
        ]);
      }
    } finally {
      await proxy.close();
      await server.close();
    }
  });
});
