/** Weights at an origin that are replaced while ranks follow them: a hub's revision, an object behind an entity tag. Each becomes a generation on every rank. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadCheckpoint, saveSafetensors, Tensor } from "@rankcast/core";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { startHub } from "../support/fake-hub.js";
import { FIXTURES } from "../support/fixtures.js";
import { documentsOf, launchRanks } from "../support/launch-ranks.js";
import { originServer } from "../support/origin-server.js";

const CHECKPOINT = `${FIXTURES}accepted/torch-zip/state_dict_t213.pt`;
const PROGRAM = fileURLToPath(new URL("programs/watch-remote.js", import.meta.url));
const RANKS = 2;
const LOADS = 3;
const BOUND_MS = 60_000;

describe("scenario: watching weights that are not in a folder", function () {
  this.timeout(BOUND_MS + 10_000);
  const sandbox = commandSandbox();
  const origin = originServer();

  /** The checkpoint with a value of its own in `fc.bias`: always of the same size. */
  async function weightsOf(value: number): Promise<Buffer> {
    const { stateDict } = await loadCheckpoint(CHECKPOINT);
    stateDict.set("fc.bias", Tensor.from(new Float32Array([value, value]), [2]));
    const path = join(sandbox().directory, `weights-${value}.safetensors`);
    await saveSafetensors(path, stateDict);
    return readFileSync(path);
  }

  /** Runs the ranks; `replace` is called after every load, with how many there were. */
  async function follow(weights: string, env: Readonly<Record<string, string>>, replace: (loads: number) => Promise<void>): Promise<void> {
    const tell = origin().route("/loaded", (request, response) => {
      const loads = Number(new URL(request.url ?? "", "http://x").searchParams.get("loads"));
      void replace(loads).then(() => response.end());
    });
    const results = await launchRanks(sandbox(), PROGRAM, RANKS, { args: [weights, tell, String(LOADS)], env, timeoutMs: BOUND_MS });
    const expected = Array.from({ length: LOADS }, (_, index) => [
      { weights, step: null },
      [
        [index + 1, index + 1],
        [index + 1, index + 1],
      ],
      index,
    ]);
    for (const { seen } of documentsOf<{ readonly seen: unknown }>(results)) expect(seen).to.deep.equal(expected);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  }

  it("a hub whose revision moves", async () => {
    const files = new Map([
      ["config.json", Buffer.from("{}")],
      ["model.safetensors", await weightsOf(1)],
    ]);
    const fake = await startHub("org/name", files);
    try {
      await follow("hf://org/name", { HF_ENDPOINT: fake.hub.url }, async (loads) => {
        if (loads >= LOADS) return;
        files.set("model.safetensors", await weightsOf(loads + 1));
        fake.push(createHash("sha1").update(`commit ${loads}`).digest("hex"));
      });
    } finally {
      await fake.close();
    }
  });

  it("an object whose entity tag changes, its size does not", async () => {
    let bytes = await weightsOf(1);
    const url = origin().route("/model.safetensors", (request, response) =>
      origin().sendBytes(request, response, bytes, `"${createHash("md5").update(bytes).digest("hex")}"`),
    );
    await follow(url, {}, async (loads) => {
      if (loads < LOADS) bytes = await weightsOf(loads + 1);
    });
  });
});
