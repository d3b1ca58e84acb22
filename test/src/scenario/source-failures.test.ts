/** Everything that can be wrong with weights before a model is touched: each with its class, on every rank, and nothing half-written. */
import { copyFileSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { type ErrorDocument, expectFailure } from "../support/expect-failure.js";
import { FIXTURES } from "../support/fixtures.js";
import { originServer } from "../support/origin-server.js";

const GOOD = `${FIXTURES}accepted/torch-zip/state_dict_t213.pt`;
const HTML = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n";
/** A server that never comes right must not hold a job for long; retries are inside this. */
const NETWORK_TIMEOUT_MS = 60_000;

describe("scenario: weights that cannot be had", function () {
  this.timeout(NETWORK_TIMEOUT_MS + 10_000);
  const sandbox = commandSandbox();
  const origin = originServer();
  const good = readFileSync(GOOD);

  /** Loads on two ranks of two replicas and returns the error. */
  async function refusal(
    weights: string,
    more: readonly string[] = [],
    exitCode = 1,
    may: { readonly partials?: boolean } = {},
  ): Promise<ErrorDocument> {
    const args = ["load", weights, "--nproc-per-node", "2", "--replicas-per-rank", "2", "--json", ...more];
    const error = await expectFailure(await sandbox().run(args, { timeoutMs: NETWORK_TIMEOUT_MS }), sandbox(), exitCode, may);
    if (exitCode === 1) expect(error.details.rootCause).to.include({ rank: 0, nodeRank: 0, code: error.code });
    return error;
  }

  /** No file of the cache is what a later load would take for a checkpoint. */
  async function expectNothingCached(url: string, may: { readonly partials?: boolean } = {}): Promise<void> {
    const later = await sandbox().run(["load", url, "--offline", "--json"]);
    expect((await expectFailure(later, sandbox(), 1, may)).class).to.be.oneOf(["not-found", "cache", "network"]);
  }

  it("404", async () => {
    const url = `${origin().url}/missing.pt`;
    const error = await refusal(url);
    expect(error.class).to.equal("not-found");
    expect(error.message).to.contain("404");
    expect(
      sandbox()
        .cacheFiles()
        .filter((path) => path.endsWith(".pt")),
    ).to.deep.equal([]);
    await expectNothingCached(url);
  });

  it("401 and 403", async () => {
    for (const status of [401, 403]) {
      const error = await refusal(origin().serveStatus(`/${status}.pt`, status, "text/plain", "no"));
      expect(error.class).to.equal("auth");
      expect(error.message).to.contain(String(status));
    }
  });

  it("500 again and again", async () => {
    const url = origin().serveStatus("/broken.pt", 500, "text/plain", "oops");
    const error = await refusal(url);
    expect(error.class).to.equal("http");
    expect(error.message).to.contain("500");
    await expectNothingCached(url);
  });

  it("a body that is shorter than promised", async () => {
    const url = origin().serveShort("/short.pt", good.subarray(0, good.length / 2), good.length);
    // What has come is kept: the next download begins where this one broke off.
    const error = await refusal(url, [], 1, { partials: true });
    expect(error.class).to.be.oneOf(["network", "truncated"]);
    await expectNothingCached(url, { partials: true });
  });

  it("an HTML page instead of a checkpoint", async () => {
    const url = origin().serveStatus("/model.pt", 200, "text/html; charset=utf-8", HTML);
    const error = await refusal(url);
    expect(error.class).to.be.oneOf(["unknown-format", "http"]);
    expect(error.message.toLowerCase()).to.contain("html");
    await expectNothingCached(url);
  });

  it("nobody listens", async () => {
    const { url } = origin();
    await origin().close();
    expect((await refusal(`${url}/model.pt`)).class).to.equal("network");
  });

  it("a hash in the file name that the bytes do not have", async () => {
    const url = origin().serve("/resnet18-deadbeef.pth", good);
    const error = await refusal(url);
    expect(error.class).to.equal("integrity");
    expect(error.message).to.contain("deadbeef");
    await expectNothingCached(url);
  });

  it("--sha256 that the bytes do not have", async () => {
    const expected = "0".repeat(64);
    for (const weights of [origin().serve("/model.pt", good), GOOD]) {
      const error = await refusal(weights, ["--sha256", expected]);
      expect(error.class).to.equal("integrity");
      expect(JSON.stringify(error)).to.contain(expected);
    }
  });

  it("a file that is not there", async () => {
    const error = await refusal(join(sandbox().directory, "nothing", "here.pt"));
    expect(error.class).to.equal("not-found");
    expect(error.message).to.contain("here.pt");
  });

  it("wrong magic", async () => {
    expect((await refusal(`${FIXTURES}refused/unknown-format/png.pt`)).class).to.equal("unknown-format");
    expect((await refusal(`${FIXTURES}refused/unknown-format/html_404.pth`)).message.toLowerCase()).to.contain("html");
  });

  it("a truncated file", async () => {
    const path = join(sandbox().directory, "cut.pt");
    copyFileSync(GOOD, path);
    truncateSync(path, good.length - 100);
    expect((await refusal(path)).class).to.equal("truncated");
  });

  it("one flipped bit in a tensor", async () => {
    const bytes = Buffer.from(good);
    const at = bytes.indexOf("/data/0") + 128;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    const path = join(sandbox().directory, "flipped.pt");
    writeFileSync(path, bytes);
    expect((await refusal(path)).class).to.equal("integrity");
    // A mapped file is verified before the barrier, too.
    expect((await refusal(path, ["--immutable"])).class).to.equal("integrity");
  });

  it("a pickle that calls a function is data, and the function is not called", async () => {
    const before = new Set(sandbox().cacheFiles());
    const result = await sandbox().run(["inspect", `${FIXTURES}accepted/torch-zip/hostile_os_system.pt`, "--json"]);
    expect(result.exitCode, result.stderr).to.equal(0);
    const { opaque } = JSON.parse(result.stdout) as { opaque: { global: string; dangerous: boolean }[] };
    expect(opaque.some(({ global, dangerous }) => dangerous && /system/.test(global))).to.equal(true);
    expect(
      sandbox()
        .cacheFiles()
        .filter((path) => !before.has(path)),
    ).to.deep.equal([]);
  });

  it("an unknown scheme", async () => {
    const error = await refusal("foo://model", [], 2);
    expect(error.class).to.equal("usage");
    expect(error.message).to.contain("foo://");
    expect(error.remedy + error.message).to.contain("torchvision://");
  });

  it("an unknown torchvision name: the nearest are offered", async () => {
    const error = await refusal("torchvision://resnet81");
    expect(error.class).to.equal("not-found");
    expect(error.message).to.contain("resnet18");
  });

  it("A7: credentials of a URL appear nowhere", async () => {
    const { host } = new URL(origin().url);
    const url = `http://someone:hunter2secret@${host}/missing.pt?token=alsosecret`;
    const result = await sandbox().run(["load", url, "--nproc-per-node", "2", "--json"]);
    expect(result.exitCode).to.equal(1);
    expect(result.stderr).to.not.match(/hunter2secret|alsosecret/);
    expect(sandbox().cacheFiles().join("\n")).to.not.match(/hunter2secret|alsosecret/);
  });
});
