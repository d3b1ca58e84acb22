/** verify: every byte once, every checksum and digest that is known. */
import { createHash } from "node:crypto";
import { chmodSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { downloadCheckpoint, StateDict, saveSafetensors, saveTorch, Tensor, verifyCheckpoint } from "@rankcast/core";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { FIXTURES } from "../../support/fixtures.ts";
import { OriginServer } from "../../support/origin-server.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const MIB = 2 ** 20;
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("verifyCheckpoint", () => {
  const directory = temporaryDirectory();
  const cacheDir = (): string => join(directory(), "cache");

  /** Storages of odd sizes, so that records begin and end anywhere in the portions that are read. */
  async function save(name: string): Promise<{ path: string; bytes: Buffer }> {
    const path = join(directory(), name);
    const sizes = [5 * MIB + 3, 1, 700, 9 * MIB, 0, 4 * MIB - 1, 13];
    const tensors = sizes.map((size, index): [string, Tensor] => [
      `t${index}`,
      Tensor.from(
        Uint8Array.from({ length: size }, (_, at) => at * 7 + index),
        [size],
      ),
    ]);
    await (name.endsWith(".pt") ? saveTorch : saveSafetensors)(path, new StateDict(tensors));
    return { path, bytes: readFileSync(path) };
  }

  /** Makes the cache's memory of a file one of the file as it is now. */
  function lookUnchanged(path: string): void {
    const now = statSync(path);
    const memories = readdirSync(cacheDir(), { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".json"));
    for (const name of memories) {
      const memory = join(cacheDir(), name);
      const text = readFileSync(memory, "utf8");
      writeFileSync(
        memory,
        text.replace(/("([mc]timeMs)": ?)[\d.]+/g, (_, before, name) => `${before}${now[name as "mtimeMs" | "ctimeMs"]}`),
      );
    }
  }

  it("gives the file's SHA-256, and reads the file once", async function () {
    const { path, bytes } = await save("model.pt");
    const readBytes = (): number => Number(/rchar: (\d+)/.exec(readFileSync("/proc/self/io", "utf8"))?.[1]);
    // What is imported for the first time is read, too.
    await verifyCheckpoint(path, { cacheDir: cacheDir() });
    if (process.platform !== "linux") return this.skip();
    const before = readBytes();
    const report = await verifyCheckpoint(path, { cacheDir: cacheDir() });
    expect(report).to.include({ sha256: sha256(bytes), checksums: "present", tensors: 7, bytes: bytes.length });
    expect((readBytes() - before) / statSync(path).size).to.be.within(1, 1.05);
  });

  it("finds a flipped bit in any record, with record and offset", async () => {
    const { path, bytes } = await save("model.pt");
    for (const at of [2 * MIB, 5 * MIB + 700, 8 * MIB + 1, 15 * MIB, bytes.length - 3 * MIB]) {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      writeFileSync(path, damaged);
      const error = await expectError("RANKCAST_CHECKSUM", verifyCheckpoint(path, { cacheDir: cacheDir() }));
      expect(error.details["record"]).to.match(/^model\/data\/\d$/);
      expect(error.details["offset"]).to.be.at.most(at);
      expect(error.details["file"]).to.equal(path);
    }
  });

  it("compares a file without checksums with the digest of its download", async () => {
    const { bytes } = await save("model.safetensors");
    const origin = await OriginServer.start();
    try {
      const url = origin.serve("/model.safetensors", bytes);
      const { sha256: found } = await verifyCheckpoint(url, { cacheDir: cacheDir() });
      expect(found).to.equal(sha256(bytes));
      const { path: cached } = await downloadCheckpoint(url, { cacheDir: cacheDir() });
      const damage = async (): Promise<void> => {
        chmodSync(cached, 0o600);
        const file = await open(cached, "r+");
        await file.write(Uint8Array.of(bytes.at(-1) === 1 ? 2 : 1), 0, 1, bytes.length - 1);
        await file.close();
      };
      // A cached file that was changed is not believed, even if its time was set back: it is fetched again.
      const { atimeMs, mtimeMs } = statSync(cached);
      await damage();
      utimesSync(cached, atimeMs / 1000, mtimeMs / 1000);
      expect(await verifyCheckpoint(url, { cacheDir: cacheDir() })).to.include({ sha256: sha256(bytes) });
      expect(readFileSync(cached).equals(bytes)).to.equal(true);
      // One whose bytes a disk has changed looks like the one that was written.
      await damage();
      lookUnchanged(cached);
      const error = await expectError("RANKCAST_HASH_MISMATCH", verifyCheckpoint(url, { cacheDir: cacheDir() }));
      expect(error.details).to.include({ expected: sha256(bytes) });
    } finally {
      await origin.close();
    }
    const { path } = await save("model.safetensors");
    const wrong = "0".repeat(64);
    await expectError("RANKCAST_HASH_MISMATCH", verifyCheckpoint(path, { cacheDir: cacheDir(), sha256: wrong }));
  });

  it("covers shards, distributed checkpoints and compressed records", async () => {
    for (const path of ["sharded/three_shards/model.safetensors.index.json", "dcp/two_rank", "torch-zip/rezipped_deflate.pt"]) {
      const report = await verifyCheckpoint(`${FIXTURES}accepted/${path}`, { cacheDir: cacheDir() });
      expect(report.sha256 === undefined, path).to.equal(!path.endsWith(".pt"));
    }
  });

  it("stops when it is told to, and reports progress to the last byte", async () => {
    const { path, bytes } = await save("model.pt");
    const stop = new AbortController();
    const stopped = await verifyCheckpoint(path, { signal: stop.signal, onBytes: () => stop.abort() }).catch((error: unknown) => error);
    expect(stopped).to.have.property("name", "AbortError");
    const seen: number[] = [];
    await verifyCheckpoint(path, { onBytes: (done) => seen.push(done) });
    expect(seen.at(-1)).to.equal(bytes.length);
  });
});
