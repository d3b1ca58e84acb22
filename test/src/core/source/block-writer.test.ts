/** Blocks between network and disk: whole and aligned where possible, early where somebody waits, right in any case. */
import { BlockPool, BlockWriter } from "@rankcast/core/internal";
import { expect } from "chai";
import { randomBytes } from "../../support/random-bytes.ts";

describe("BlockWriter", () => {
  const KIB = 1024;
  let writes: string[];
  let finish: ((error?: Error) => void)[];
  let file: Buffer;
  let stalls = 0;
  beforeEach(() => {
    writes = [];
    stalls = 0;
    finish = [];
    file = Buffer.alloc(4096 * KIB);
  });
  const writer = (position: number, isAwaited: (range: { begin: number; end: number }) => boolean = () => false): BlockWriter =>
    new BlockWriter({
      write: (block, begin) => {
        writes.push(`${begin}+${block.length}`);
        return new Promise((resolve, reject) => {
          // The bytes are read when the write ends: a block that was filled again meanwhile is noticed.
          finish.push((error) => {
            file.set(block, begin);
            if (error) reject(error);
            else resolve();
          });
        });
      },
      isAwaited,
      onBytes: () => undefined,
      onStall: () => {
        stalls += 1;
      },
      blocks: new BlockPool(),
      position,
    });
  const finishAll = async (): Promise<void> => {
    for (let turn = 0; turn < 8; turn += 1) {
      for (const each of finish.splice(0)) each();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  /** Fills as a connection does: a read goes into the space it was lent before, whatever happened since. */
  const fill = (target: BlockWriter, bytes: Uint8Array): Promise<void> | null => {
    let busy: Promise<void> | null = null;
    for (let position = 0; position < bytes.length; ) {
      const space = target.space();
      const part = bytes.subarray(position, position + Math.min(space.length, 64 * KIB));
      target.nudge();
      space.set(part);
      position += part.length;
      busy = target.filled(part.length);
    }
    return busy;
  };

  it("writes blocks that end at multiples of their size, and the rest when it is flushed", async () => {
    const bytes = randomBytes(2500 * KIB);
    const target = writer(10);
    void fill(target, bytes);
    await finishAll();
    const flushing = target.flush();
    await finishAll();
    await flushing;
    expect(target.written).to.equal(10 + bytes.length);
    const whole = [1, 2, 3].map((block) => `${block * 512 * KIB}+${512 * KIB}`);
    expect(writes).to.deep.equal([`10+${512 * KIB - 10}`, ...whole, `${2048 * KIB}+${452 * KIB + 10}`]);
    expect(file.subarray(10, 10 + bytes.length).equals(bytes)).to.equal(true);
  });

  it("makes the network wait when the disk is behind, and goes on with the first write that ends", async () => {
    const target = writer(0);
    expect(fill(target, randomBytes(1536 * KIB))).to.equal(null);
    const busy = fill(target, randomBytes(512 * KIB));
    expect(busy).to.not.equal(null);
    // The next write need not wait for the one before: they are all on their way.
    expect(writes.length).to.equal(4);
    finish.shift()?.();
    await busy;
    expect(stalls).to.equal(1);
    await finishAll();
    await target.flush();
  });

  it("writes at once what somebody waits for, and what somebody begins to wait for", async () => {
    let awaited = 5;
    const bytes = randomBytes(12);
    const target = writer(0, ({ begin, end }) => begin <= awaited && awaited < end);
    void fill(target, bytes.subarray(0, 4));
    await Promise.resolve();
    expect(writes).to.deep.equal([]);
    void fill(target, bytes.subarray(4, 8));
    await Promise.resolve();
    expect(writes).to.deep.equal(["0+8"]);
    void fill(target, bytes.subarray(8, 11));
    awaited = 10;
    // Twice, and while the first write still runs: nothing is written twice or out of order.
    target.nudge();
    target.nudge();
    void fill(target, bytes.subarray(11));
    await finishAll();
    expect(writes).to.deep.equal(["0+8", "8+4"]);
    await target.flush();
    expect(file.subarray(0, 12).equals(bytes)).to.equal(true);
  });

  it("keeps the memory that a connection was lent in place when a part of it is written early", async () => {
    let awaited = false;
    const bytes = randomBytes(300);
    const target = writer(0, () => awaited);
    void fill(target, bytes.subarray(0, 100));
    const lent = target.space();
    awaited = true;
    target.nudge();
    lent.set(bytes.subarray(100));
    void target.filled(200);
    await finishAll();
    await target.flush();
    expect(writes).to.deep.equal(["0+100", "100+200"]);
    expect(file.subarray(0, 300).equals(bytes)).to.equal(true);
  });

  it("tells how far it got when a write fails, and leaves nothing running", async () => {
    const target = writer(0);
    void fill(target, randomBytes(1100 * KIB));
    let ended = "";
    const flushing = target.flush().catch((error: Error) => {
      ended = error.message;
    });
    finish.shift()?.();
    finish.shift()?.(new Error("full"));
    await new Promise((resolve) => setImmediate(resolve));
    expect(ended).to.equal("");
    finish.shift()?.();
    await flushing;
    expect(ended).to.equal("full");
    expect(target.written).to.equal(512 * KIB);
  });
});
