import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { compileLimits } from "@rankcast/core";
import {
  awsAccount,
  newReadStats,
  type ResolvedSource,
  type ResolveOptions,
  readEnvironment,
  resolveWeights,
} from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { LyingServer, serveFile } from "../../support/lying-server.ts";
import { randomBytes } from "../../support/random-bytes.ts";
import { entryBytes, expectFiles } from "../../support/resolved-files.ts";
import { type SignedRequest, signatureProblem } from "../../support/signature-v4.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const KEYS = { AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE", AWS_SECRET_ACCESS_KEY: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" };

describe("the verifier of signatures", () => {
  const at = Date.parse("2013-05-24T00:00:00Z");
  const request = (url: string, signed: string, signature: string, more: Record<string, string> = {}): SignedRequest => ({
    method: "GET",
    url,
    headers: {
      host: "examplebucket.s3.amazonaws.com",
      "x-amz-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      "x-amz-date": "20130524T000000Z",
      authorization: `AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=${signed},Signature=${signature}`,
      ...more,
    },
  });
  const problem = (each: SignedRequest): string | null =>
    signatureProblem(each, KEYS.AWS_ACCESS_KEY_ID, KEYS.AWS_SECRET_ACCESS_KEY, "us-east-1", at);

  // The three GET examples of AWS's documentation of the Authorization header.
  it("accepts AWS's published examples and nothing near them", () => {
    const signed = "host;x-amz-content-sha256;x-amz-date";
    const object = request(
      "/test.txt",
      "host;range;x-amz-content-sha256;x-amz-date",
      "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
      { range: "bytes=0-9" },
    );
    const lifecycle = request("/?lifecycle", signed, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    const list = request("/?max-keys=2&prefix=J", signed, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
    for (const each of [object, lifecycle, list]) expect(problem(each)).to.equal(null);
    expect(problem({ ...object, url: "/test.tx" })).to.equal("SignatureDoesNotMatch");
    expect(problem({ ...object, headers: { ...object.headers, range: "bytes=0-8" } })).to.equal("SignatureDoesNotMatch");
    expect(problem({ ...object, headers: { ...object.headers, "x-amz-extra": "1" } })).to.equal("not signed: x-amz-extra");
    expect(signatureProblem(object, KEYS.AWS_ACCESS_KEY_ID, KEYS.AWS_SECRET_ACCESS_KEY, "us-east-1", at + 16 * 60_000)).to.equal(
      "RequestTimeTooSkewed",
    );
  });
});

describe("object stores", () => {
  const directory = temporaryDirectory();
  const bytes = randomBytes(300_000);
  const resolve = async (weights: string, variables: Record<string, string>, options: ResolveOptions = {}): Promise<ResolvedSource> => {
    const environment = readEnvironment({ HOME: directory(), ...variables });
    const limits = compileLimits({ httpRetryMs: 1, httpRangeBytes: 65_536, httpAttempts: 2 });
    return expectFiles(await resolveWeights(weights, { environment, limits, ...options }));
  };

  describe("s3:// against a server that verifies every signature", () => {
    let server: LyingServer;
    let endpoint: string;
    const odd = "folder/a b+c@é'(1)*!%20~.pt";
    const token = "session/token=";
    beforeEach(async () => {
      const objects = new Map(["m.pt", odd].map((key) => [key, bytes]));
      server = await LyingServer.start((request, response, index) => {
        const seen = { method: request.method ?? "", url: request.url ?? "", headers: request.headers };
        const problem = signatureProblem(seen, KEYS.AWS_ACCESS_KEY_ID, KEYS.AWS_SECRET_ACCESS_KEY, "us-east-1");
        if (problem !== null) return void response.writeHead(403).end(`<Error><Code>${problem}</Code></Error>`);
        const [bucket, ...key] = seen.url.slice(1).split("/").map(decodeURIComponent);
        const object = bucket === "weights" ? objects.get(key.join("/")) : undefined;
        if (object === undefined) return void response.writeHead(404).end("<Error><Code>NoSuchKey</Code></Error>");
        serveFile(object, {}, () => server)(request, response, index);
      });
      endpoint = server.url;
    });
    afterEach(() => server.close());

    it("reads signed objects in parallel ranges, whatever their key", async () => {
      const stats = newReadStats();
      const source = await resolve("s3://weights/m.pt", { ...KEYS, AWS_ENDPOINT_URL: endpoint }, { stats });
      expect(source.name).to.equal("s3://weights/m.pt");
      expect(await entryBytes(source)).to.deep.equal(bytes);
      expect(stats).to.include({ requests: 5, bytesRead: 300_000, retries: 0 });
      expect(await entryBytes(await resolve(`s3://weights/${odd}`, { ...KEYS, AWS_ENDPOINT_URL_S3: endpoint }))).to.deep.equal(bytes);
      await resolve("s3://weights/m.pt", { ...KEYS, AWS_SESSION_TOKEN: token, AWS_ENDPOINT_URL: endpoint }).then((each) => each.close());
      expect(server.requests.at(-1)?.headers["x-amz-security-token"]).to.equal(token);
      const again = newReadStats();
      expect(await entryBytes(await resolve("s3://weights/m.pt", { ...KEYS, AWS_ENDPOINT_URL: endpoint }, { stats: again }))).to.deep.equal(
        bytes,
      );
      expect(again).to.include({ bytesRead: 0, cacheHits: 1 });
    });

    it("says what is wrong: keys, bucket, object, name", async () => {
      const wrong = await expectError(
        "RANKCAST_HTTP_AUTH",
        resolve("s3://weights/m.pt", { ...KEYS, AWS_SECRET_ACCESS_KEY: "x", AWS_ENDPOINT_URL: endpoint }),
      );
      expect(wrong.message).to.contain("SignatureDoesNotMatch");
      await expectError("RANKCAST_NOT_FOUND", resolve("s3://weights/none.pt", { ...KEYS, AWS_ENDPOINT_URL: endpoint }));
      await expectError("RANKCAST_NOT_FOUND", resolve("s3://nobucket/none.pt", { ...KEYS, AWS_ENDPOINT_URL: endpoint }));
      for (const uri of ["s3://weights", "s3://weights/", "s3:///key", "s3://we$ights/key"])
        await expectError("RANKCAST_USAGE", resolve(uri, KEYS));
    });
  });

  it("s3:// takes keys, token, region and endpoint from the environment, then from the profile files", async () => {
    await mkdir(join(directory(), ".aws"));
    await writeFile(
      join(directory(), ".aws", "credentials"),
      "# c\n[default]\naws_access_key_id = A\naws_secret_access_key=B\n\n[ other ]\naws_access_key_id=C\naws_secret_access_key = D=\naws_session_token = E\n",
    );
    await writeFile(
      join(directory(), ".aws", "config"),
      "[default]\nregion = eu-west-1\n[profile other]\nregion=ap-south-1\nendpoint_url = http://e:1\ns3 =\n  x = y\n",
    );
    const account = (variables: Record<string, string>) => awsAccount(readEnvironment({ HOME: directory(), ...variables }));
    expect(await account({})).to.deep.equal({ keys: { accessKeyId: "A", secretAccessKey: "B" }, region: "eu-west-1", endpoint: undefined });
    expect(await account({ AWS_PROFILE: "other" })).to.deep.equal({
      keys: { accessKeyId: "C", secretAccessKey: "D=", sessionToken: "E" },
      region: "ap-south-1",
      endpoint: "http://e:1",
    });
    expect(await account({ AWS_ACCESS_KEY_ID: "X", AWS_SECRET_ACCESS_KEY: "Y", AWS_REGION: "r" })).to.deep.include({
      keys: { accessKeyId: "X", secretAccessKey: "Y" },
      region: "r",
    });
    expect((await account({ AWS_PROFILE: "nobody" })).keys).to.equal(null);
  });

  it("gs:// sends a token, an HMAC signature, or nothing", async () => {
    const server = await LyingServer.start(serveFile(bytes));
    const base = { STORAGE_EMULATOR_HOST: server.url.replace("http://", "") };
    const authorization = async (variables: Record<string, string>, options: ResolveOptions = {}): Promise<string | undefined> => {
      const cacheDir = join(directory(), String(server.requests.length));
      const source = await resolve("gs://weights/a b/m.pt", { ...base, ...variables }, { cacheDir, ...options });
      expect(source.name).to.equal("gs://weights/a b/m.pt");
      expect(await entryBytes(source)).to.deep.equal(bytes);
      expect(server.requests.at(-1)?.url).to.equal("/weights/a%20b/m.pt");
      return server.requests.at(-1)?.headers.authorization;
    };
    expect(await authorization({})).to.equal(undefined);
    expect(await authorization({ CLOUDSDK_AUTH_ACCESS_TOKEN: "t" })).to.equal("Bearer t");
    expect(await authorization({ CLOUDSDK_AUTH_ACCESS_TOKEN: "t" }, { token: "own" })).to.equal("Bearer own");
    expect(await authorization({ GS_ACCESS_KEY_ID: "K", GS_SECRET_ACCESS_KEY: "S" })).to.match(
      /^AWS4-HMAC-SHA256 Credential=K\/\d{8}\/auto\/s3\/aws4_request/,
    );
    await server.close();
  });
});
