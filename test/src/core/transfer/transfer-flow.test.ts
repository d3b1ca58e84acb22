import { randomBytes } from "node:crypto";
import { DEFAULT_LIMITS, type Storage } from "@rankcast/core";
import { type ByteSource, transferStorages } from "@rankcast/core/internal";
import { expect } from "chai";
import { FileBuilder, into, storageOf } from "../../support/build-storages.ts";

const limits = DEFAULT_LIMITS;
const MIB = 2 ** 20;

const contents = ({ target }: { readonly target: Storage }): Buffer => Buffer.from(target.bytes());
const plain = { limits, verify: true } as const;

describe("transferStorages under pressure", () => {
  it("never has more on its way than the budget, and finishes with a tiny one", async () => {
    const file = new FileBuilder();
    const values = [randomBytes(5 * MIB), randomBytes(6 * MIB), randomBytes(300), randomBytes(2 * MIB)];
    const reads = values.map((bytes) => into(storageOf([file.add(bytes)], bytes.length)));
    const memory = file.source();
    let now = 0;
    let most = 0;
    const source: ByteSource = {
      ...memory,
      async readInto(target, offset, signal) {
        now += target.length;
        most = Math.max(most, now);
        await new Promise(setImmediate);
        now -= target.length;
        return memory.readInto(target, offset, signal);
      },
    };
    await transferStorages(reads, [source], { verify: true, limits: { inFlightBytes: 9 * MIB } });
    expect(most).to.be.within(MIB, 9 * MIB);
    const again = values.map((bytes, index) => into(reads[index]?.storage ?? storageOf([], bytes.length)));
    await transferStorages(again, [source], { verify: true, limits: { inFlightBytes: 1 } });
    expect(again.every((read, index) => contents(read).equals(values[index] ?? Buffer.alloc(0)))).to.equal(true);
  });

  it("reports progress in steps, up to all bytes", async () => {
    const file = new FileBuilder();
    const reads = Array.from({ length: 100 }, () => into(storageOf([file.add(randomBytes(50_000))], 50_000)));
    const steps: number[] = [];
    await transferStorages(reads, [file.source()], { ...plain, onProgress: (bytes) => steps.push(bytes) });
    expect(steps.at(-1)).to.equal(5_000_000);
    expect(steps.length).to.be.within(2, 6);
    expect(steps).to.deep.equal([...steps].sort((a, b) => a - b));
  });

  it("stops at the first failure and ends every read before it rejects", async () => {
    const file = new FileBuilder();
    const reads = Array.from({ length: 40 }, () => into(storageOf([file.add(randomBytes(MIB))], MIB)));
    const memory = file.source();
    let running = 0;
    let started = 0;
    const source: ByteSource = {
      ...memory,
      async readInto(target, offset, signal) {
        started += 1;
        running += 1;
        await new Promise(setImmediate);
        running -= 1;
        if (offset === 3 * MIB) throw new Error("disk on fire");
        await memory.readInto(target, offset, signal);
      },
    };
    const thrown: unknown = await transferStorages(reads, [source], plain).catch((error: unknown) => error);
    expect(thrown).to.have.property("message", "disk on fire");
    expect(running).to.equal(0);
    expect(started).to.be.below(25);
  });

  it("tells reads that are still waiting that another one failed", async () => {
    const file = new FileBuilder();
    const reads = Array.from({ length: 3 }, () => into(storageOf([file.add(randomBytes(MIB))], MIB)));
    const source: ByteSource = {
      ...file.source(),
      async readInto(_, offset, signal) {
        if (offset === 2 * MIB) throw new Error("disk on fire");
        await new Promise((_resolve, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
      },
    };
    const thrown: unknown = await transferStorages(reads, [source], plain).catch((error: unknown) => error);
    expect(thrown).to.have.property("message", "disk on fire");
  });

  it("stops a large piece soon after its first portion failed", async () => {
    const file = new FileBuilder();
    const piece = file.add(Buffer.alloc(200 * MIB));
    let started = 0;
    const source: ByteSource = {
      ...file.source(),
      readInto: async () => {
        started += 1;
        throw new Error("gone");
      },
    };
    const thrown: unknown = await transferStorages([into(storageOf([piece], 200 * MIB))], [source], {
      verify: true,
      limits: { inFlightBytes: 8 * MIB },
    }).catch((error: unknown) => error);
    expect(thrown).to.have.property("message", "gone");
    expect(started).to.be.below(6);
  });

  it("obeys an abort signal before and during the work", async () => {
    const file = new FileBuilder();
    const reads = Array.from({ length: 20 }, () => into(storageOf([file.add(randomBytes(MIB))], MIB)));
    const memory = file.source();
    const controller = new AbortController();
    let started = 0;
    const source: ByteSource = {
      ...memory,
      async readInto(target, offset, signal) {
        started += 1;
        if (started === 3) controller.abort();
        signal?.throwIfAborted();
        await memory.readInto(target, offset, signal);
      },
    };
    const options = { ...plain, signal: controller.signal };
    expect(await transferStorages(reads, [source], options).catch((error: unknown) => error)).to.have.property("name", "AbortError");
    expect(started).to.be.below(12);
    expect(await transferStorages(reads, [source], options).catch((error: unknown) => error)).to.have.property("name", "AbortError");
  });
});
