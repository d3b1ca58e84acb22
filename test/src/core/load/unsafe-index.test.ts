import { join } from "node:path";
import { loadCheckpoint } from "@rankcast/core";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { LyingServer } from "../../support/lying-server.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

describe("an index on a server", () => {
  const directory = temporaryDirectory();
  let server: LyingServer;
  let index: string;
  beforeEach(async () => {
    server = await LyingServer.start((request, response) => {
      if (request.url?.endsWith("/model.safetensors.index.json")) response.end(index);
      else response.writeHead(404).end();
    });
  });
  afterEach(() => server.close());

  it("62: that names a file outside its folder, or one tensor twice, is refused before any file is asked for", async () => {
    const load = () =>
      loadCheckpoint(`${server.url}/run/model.safetensors.index.json`, {
        // One each: this server gives no tags, so a cached index would be taken for unchanged.
        cacheDir: join(directory(), String(server.requests.length)),
        limits: { httpRetryMs: 1 },
      });
    for (const name of [
      "../x.safetensors",
      "/x.safetensors",
      "C:\\\\x.safetensors",
      "a\\u0000.safetensors",
      "http://other/x.safetensors",
    ]) {
      index = `{"weight_map":{"good":"model-1.safetensors","bad":"${name}"}}`;
      const error = await expectError("RANKCAST_UNSAFE_PATH", load);
      expect(error.class).to.equal("unsafe-path");
    }
    index = '{"weight_map":{"a":"model-1.safetensors","a":"model-2.safetensors"}}';
    expect((await expectError("RANKCAST_INDEX_SYNTAX", load)).class).to.equal("index");
    for (const { url } of server.requests) expect(url).to.equal("/run/model.safetensors.index.json");
    // A file that is not there is the server's word, and says which.
    index = '{"weight_map":{"a":"model-1.safetensors"}}';
    expect((await expectError("RANKCAST_INDEX_SHARD", load)).message).to.contain("model-1.safetensors");
  });
});
