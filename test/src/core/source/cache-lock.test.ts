import { mkdir, readdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SourceError } from "@rankcast/core";
import { acquireLockFile, acquireLockSocket } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

describe("locks", () => {
  const directory = temporaryDirectory();
  for (const [name, acquire] of [
    ["socket", acquireLockSocket],
    ["file", acquireLockFile],
  ] as const) {
    it(`of the ${name} kind let one in at a time, and different keys at once`, async () => {
      let inside = 0;
      let most = 0;
      const work = async (key: string): Promise<void> => {
        const lock = await acquire({ root: directory(), key, idleMs: 5_000 });
        inside += 1;
        most = Math.max(most, inside);
        await new Promise((resolve) => setImmediate(resolve));
        inside -= 1;
        await lock.release();
        await lock.release();
      };
      await Promise.all([1, 2, 3, 4].map(() => work("a")));
      expect(most).to.equal(1);
      const one = await acquire({ root: directory(), key: "a", idleMs: 5_000 });
      await (await acquire({ root: directory(), key: "b", idleMs: 5_000 })).release();
      await one.release();
    });

    it(`of the ${name} kind stop waiting when told`, async () => {
      const lock = await acquire({ root: directory(), key: "a", idleMs: 5_000 });
      const controller = new AbortController();
      const waiting = acquire({ root: directory(), key: "a", idleMs: 5_000, signal: controller.signal }).catch((error: unknown) => error);
      setImmediate(() => controller.abort());
      expect(await waiting).to.have.property("name", "AbortError");
      await lock.release();
    });
  }

  it("show waiting ones the holder's progress and its failure, if the server is at fault", async () => {
    const lock = await acquireLockSocket({ root: directory(), key: "a", idleMs: 5_000 });
    lock.tell({ bytesDone: 3, bytesTotal: 9 });
    const seen: unknown[] = [];
    let failed: Promise<unknown> = Promise.resolve();
    const told = new Promise<void>((resolve) => {
      const waiting = acquireLockSocket({
        root: directory(),
        key: "a",
        idleMs: 5_000,
        onWait: (progress) => {
          seen.push(progress);
          resolve();
        },
      });
      failed = expectError("RANKCAST_NETWORK_SILENT", waiting);
    });
    await told;
    await lock.release(new SourceError("RANKCAST_NETWORK_SILENT", "silent"));
    await failed;
    expect(seen[0]).to.deep.equal({ bytesDone: 3, bytesTotal: 9 });
    const next = await acquireLockSocket({ root: directory(), key: "a", idleMs: 5_000 });
    let other: Promise<{ readonly waited: boolean; release(): Promise<void> }> | undefined;
    await new Promise<void>((resolve) => {
      other = acquireLockSocket({ root: directory(), key: "a", idleMs: 5_000, onWait: () => resolve() });
    });
    await next.release(new SourceError("RANKCAST_HTTP_AUTH", "whose credentials?"));
    expect((await other)?.waited).to.equal(true);
    await (await other)?.release();
  });

  it("are passed over when the holder gives no sign of life", async () => {
    await mkdir(join(directory(), "locks"), { recursive: true });
    await writeFile(join(join(directory(), "locks"), "a.lock"), "unreadable");
    await utimes(join(join(directory(), "locks"), "a.lock"), 1, 1);
    await (await acquireLockFile({ root: directory(), key: "a", idleMs: 1_000 })).release();
    await writeFile(join(join(directory(), "locks"), "b.lock"), JSON.stringify({ tag: "x", owner: { ...(await deadOwner()) } }));
    const lock = await acquireLockFile({ root: directory(), key: "b", idleMs: 60_000 });
    await lock.release();
    expect((await readdir(join(directory(), "locks"))).filter((name) => name.startsWith("b"))).to.deep.equal([]);
  });
});

/** A process that is certainly gone. */
async function deadOwner() {
  const { processIdentity } = await import("@rankcast/core/internal");
  return { ...processIdentity(), startTime: "1" };
}
