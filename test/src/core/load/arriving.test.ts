/** Checkpoints that are decoded while they are still being downloaded: the server sends the rest only after the manifest was seen. */
import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type CheckpointHandle, digestTensor, type FormatError, inspectCheckpoint, openCheckpoint } from "@rankcast/core";
import { encodeManifest, openWeights, type StateDictManifest } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { FIXTURES, fixtureBytes } from "../../support/fixtures.ts";
import { GatedBody } from "../../support/gated-body.ts";
import { originServer } from "../../support/origin-server.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const ZIPS = "accepted/torch-zip/";
const DATA_NAME = Buffer.from("/data/0");

/** First byte of the first storage's payload: before it is everything that describes the tensors. */
function payloadBegin(bytes: Buffer): number {
  if (bytes.readUInt32LE(0) !== 0x04034b50) return 8 + Number(bytes.readBigUInt64LE(0));
  const name = bytes.indexOf(DATA_NAME);
  const header = bytes.lastIndexOf(Buffer.from("PK\u0003\u0004"), name);
  return header + 30 + bytes.readUInt16LE(header + 26) + bytes.readUInt16LE(header + 28);
}

/** The archive with a second copy of a record in front of the directory, which names the copy; the first one belongs to nothing. */
function withMovedRecord(archive: Buffer, name: string): Buffer {
  const entryName = archive.lastIndexOf(Buffer.from(`${name}PK`));
  const entry = entryName - 46;
  const headerAt = archive.readUInt32LE(entry + 42);
  const next = archive.indexOf(Buffer.from("PK\u0003\u0004"), headerAt + 4);
  const record = archive.subarray(headerAt, next);
  const directory = archive.indexOf(Buffer.from("PK\u0001\u0002"));
  const moved = Buffer.concat([archive.subarray(0, directory), record, archive.subarray(directory)]);
  moved.writeUInt32LE(directory, entry + record.length + 42);
  const end = moved.lastIndexOf(Buffer.from("PK\u0005\u0006"));
  moved.writeUInt32LE(directory + record.length, end + 16);
  moved.writeBigUInt64LE(BigInt(directory + record.length), end - 20 - 56 + 48);
  moved.writeBigUInt64LE(BigInt(end - 20 - 56), end - 20 + 8);
  return moved;
}

/** Archives as torch 2.7 and later write them: with `.format_version`, little-endian, not packed again by another program. */
const streamable = readdirSync(FIXTURES + ZIPS).filter((name) => {
  if (name.startsWith("rezipped")) return false;
  const bytes = readFileSync(FIXTURES + ZIPS + name);
  return bytes.includes("/.format_version") && bytes.includes("/data/0") && bytes.includes("little");
});

describe("decoding while downloading", () => {
  const server = originServer();
  const directory = temporaryDirectory();
  const truth = async (path: string): Promise<(readonly [string, string | null | undefined])[]> =>
    (await inspectCheckpoint(FIXTURES + path, { digest: true, stateDict: false })).tensors.map(({ name, sha256 }) => [name, sha256]);
  const read = async (handle: CheckpointHandle): Promise<(readonly [string, string | null])[]> => {
    const pairs: (readonly [string, string | null])[] = [];
    for (const { name } of handle.tensors) {
      const tensor = await handle.tensor(name);
      pairs.push([name, tensor.isMeta ? null : digestTensor(tensor)]);
    }
    return pairs;
  };
  const open = (gate: GatedBody, name: string): Promise<CheckpointHandle> =>
    openCheckpoint(server().route(`/${name}`, gate.handler), { access: "download", cacheDir: directory(), scope: "whole" });

  for (const ranges of [false, true]) {
    it(`safetensors, ${ranges ? "by ranges" : "in one stream"}`, async () => {
      const path = "accepted/safetensors/library_mixed.safetensors";
      const bytes = fixtureBytes(path);
      const gate = new GatedBody(bytes, payloadBegin(bytes), ranges);
      const handle = await open(gate, "m.safetensors");
      expect(handle.tensors).to.have.length.above(1);
      let complete = false;
      const completing = handle.complete().then(() => {
        complete = true;
      });
      const reading = read(handle);
      expect(complete).to.equal(false);
      gate.open();
      expect(await reading).to.deep.equal(await truth(path));
      await completing;
      expect(await read(handle), "from the complete file").to.deep.equal(await truth(path));
      await handle.close();
      expect(await readFile(join(directory(), "objects", (await inspectAgain("m.safetensors")).sha, "m.safetensors"))).to.deep.equal(bytes);
    });
  }

  const inspectAgain = async (name: string): Promise<{ sha: string }> => {
    const opened = await openWeights(`${server().url}/${name}`, { cacheDir: directory(), offline: true });
    await opened.close();
    return { sha: opened.sha256 ?? "" };
  };

  it("there are archives of torch 2.7 and later", () => expect(streamable).to.have.length.above(50));

  for (const name of streamable) {
    it(`torch zip: ${name}`, async () => {
      const bytes = fixtureBytes(ZIPS + name);
      const gate = new GatedBody(bytes, payloadBegin(bytes));
      const handle = await open(gate, name);
      const reading = read(handle);
      gate.open();
      expect(await reading).to.deep.equal(await truth(ZIPS + name));
      await handle.complete();
      expect(await read(handle)).to.deep.equal(await truth(ZIPS + name));
      await handle.close();
    });
  }

  it("shards: their headers say everything, each is waited for", async () => {
    const folder = "accepted/sharded/three_shards/";
    const gates: GatedBody[] = [];
    for (const name of readdirSync(FIXTURES + folder)) {
      const bytes = fixtureBytes(folder + name);
      const gate = new GatedBody(bytes, name.endsWith(".json") ? bytes.length : payloadBegin(bytes));
      gates.push(gate);
      server().route(`/${name}`, gate.handler);
    }
    const url = `${server().url}/model.safetensors.index.json`;
    const handle = await openCheckpoint(url, { access: "download", cacheDir: directory(), scope: "whole" });
    const reading = read(handle);
    for (const gate of gates) gate.open();
    expect(await reading).to.deep.equal(await truth(`${folder}model.safetensors.index.json`));
    await handle.complete();
    await handle.close();
  });

  it("a tensor is read as soon as its own bytes are here", async () => {
    const bytes = fixtureBytes(`${ZIPS}order12_t213.pt`);
    // Up to the header of the last storage's record.
    const gate = new GatedBody(bytes, 2712);
    const handle = await open(gate, "order12.pt");
    const [first] = handle.tensors;
    const expected = await truth(`${ZIPS}order12_t213.pt`);
    expect(digestTensor(await handle.tensor(first?.name ?? ""))).to.equal(expected[0]?.[1]);
    gate.open();
    await handle.complete();
    await handle.close();
  });

  it("the manifest of a load is the one of the complete file", async () => {
    for (const path of [`${ZIPS}state_dict_t213.pt`, `${ZIPS}state_dict_t113.pt`, "accepted/safetensors/basic.safetensors"]) {
      const bytes = fixtureBytes(path);
      const gate = new GatedBody(bytes, Math.min(payloadBegin(bytes), bytes.length));
      const url = server().route("/whole.bin", gate.handler);
      let seen: StateDictManifest | null = null;
      const onManifest = (manifest: StateDictManifest): void => {
        seen = manifest;
        gate.open();
      };
      // torch 1.13 has its storages in another order, so nothing is known before the end.
      if (path.includes("t113")) gate.open();
      const opened = await openWeights(url, { cacheDir: join(directory(), path), onManifest });
      const again = await openWeights(url, { cacheDir: join(directory(), path), offline: true });
      // Storages may make what they say when they are asked, so the bytes are compared that are made of it.
      expect(Buffer.from(encodeManifest(opened.manifest))).to.deep.equal(Buffer.from(encodeManifest(again.manifest)));
      expect(opened.manifest.sources[0]?.immutable).to.equal(true);
      expect((seen as StateDictManifest | null)?.tensors).to.deep.equal(opened.manifest.tensors);
      await opened.close();
      await again.close();
    }
  });

  it("damage on the way is an error of the tensor and of the whole, never other numbers", async () => {
    const bytes = Buffer.from(fixtureBytes(`${ZIPS}order12_t213.pt`));
    const begin = payloadBegin(bytes);
    bytes[begin] = (bytes[begin] ?? 0) ^ 1;
    const gate = new GatedBody(bytes, 2000);
    const handle = await open(gate, "damaged.pt");
    await expectError("RANKCAST_CHECKSUM", handle.tensor(handle.tensors[0]?.name ?? ""));
    gate.open();
    await handle.close();
  });

  it("an archive whose directory says something else than its beginning is refused as that", async () => {
    const bytes = Buffer.from(fixtureBytes(`${ZIPS}order12_t213.pt`));
    // The directory's entry of data/1 points at another record.
    const entry = bytes.lastIndexOf("order12_t213/data/1PK") - 46;
    bytes.writeUInt32LE(1302, entry + 42);
    const gate = new GatedBody(bytes, payloadBegin(bytes));
    const handle = await open(gate, "lying.pt");
    gate.open();
    const failure = await handle.complete().then(
      () => null,
      (error: unknown) => error as FormatError,
    );
    expect(failure?.class).to.equal("zip");
    await expectError(failure?.code ?? "", handle.tensor(handle.tensors[0]?.name ?? ""));
    await handle.close();
  });

  it("an archive that keeps a record elsewhere is read as its directory says", async () => {
    const moved = withMovedRecord(fixtureBytes(`${ZIPS}order12_t213.pt`), "order12_t213/data/1");
    const gate = new GatedBody(moved, payloadBegin(moved));
    const url = server().route("/moved.pt", gate.handler);
    let early = 0;
    const onManifest = (manifest: StateDictManifest): void => {
      early = manifest.tensors.length;
      gate.open();
    };
    const opened = await openWeights(url, { cacheDir: directory(), scope: "whole", onManifest });
    expect(early).to.equal(opened.manifest.tensors.length);
    const offsets = opened.manifest.storages.flatMap(({ pieces }) =>
      pieces.map(({ extent }) => (extent.type === "range" ? extent.offset : 0)),
    );
    expect(Math.max(...offsets)).to.equal(offsets[1]);
    await opened.close();
  });

  it("a given digest is waited for", async () => {
    const bytes = fixtureBytes("accepted/safetensors/basic.safetensors");
    const gate = new GatedBody(bytes, payloadBegin(bytes));
    const url = server().route("/pinned.safetensors", gate.handler);
    let resolved = false;
    const opening = openCheckpoint(url, {
      access: "download",
      cacheDir: directory(),
      sha256: "0".repeat(64),
    });
    opening
      .catch(() => undefined)
      .finally(() => {
        resolved = true;
      });
    expect(resolved).to.equal(false);
    gate.open();
    await expectError("RANKCAST_HASH_MISMATCH", opening);
  });

  it("closing early stops the download", async () => {
    const bytes = fixtureBytes("accepted/safetensors/basic.safetensors");
    const gate = new GatedBody(bytes, payloadBegin(bytes));
    const handle = await open(gate, "early.safetensors");
    await handle.close();
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (gate.dropped === 1) resolve();
        else setImmediate(look);
      };
      look();
    });
    const failure = await handle.tensor(handle.tensors[0]?.name ?? "").catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(Error);
  });

  it("a download that begins anew with another version is never mixed with what was read", async () => {
    const old = fixtureBytes("accepted/safetensors/basic.safetensors");
    const bytes = fixtureBytes("accepted/safetensors/library_mixed.safetensors");
    let requests = 0;
    const url = server().route("/changing.safetensors", (_, response) => {
      requests += 1;
      const first = requests === 1;
      const body = first ? old : bytes;
      response.writeHead(200, { etag: `"v${Math.min(requests, 2)}"`, "content-length": body.length });
      if (first) response.write(body.subarray(0, body.length - 1), () => setImmediate(() => response.socket?.destroy()));
      else response.end(body);
    });
    const opened = await openWeights(url, { cacheDir: directory(), scope: "whole" });
    const names = opened.manifest.tensors.map(({ name }) => name);
    expect(names).to.deep.equal((await truth("accepted/safetensors/library_mixed.safetensors")).map(([name]) => name));
    await opened.close();
  });
});
