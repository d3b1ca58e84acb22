import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hashFile, startFileJob } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { randomBytes } from "../../support/random-bytes.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("hashing in a thread", () => {
  const directory = temporaryDirectory();

  it("follows a file that grows, several at once, with several algorithms", async () => {
    const bytes = randomBytes(9_000_000);
    const path = join(directory(), "f");
    await writeFile(path, bytes);
    const both = startFileJob(path, { algorithms: ["sha256", "md5"] });
    for (let available = 0; available < bytes.length; available += 1_000_000) both.available(available);
    const prefixed = startFileJob(path, { algorithms: ["git-sha1"], sizeBytes: bytes.length });
    const [digests, git, whole] = await Promise.all([
      both.finish(bytes.length),
      prefixed.finish(bytes.length),
      hashFile(path, bytes.length),
    ]);
    expect(digests.get("sha256")).to.equal(sha256(bytes));
    expect(whole).to.equal(sha256(bytes));
    expect(digests.get("md5")).to.equal(createHash("md5").update(bytes).digest("hex"));
    expect(git.get("git-sha1")).to.equal(createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex"));
  });

  it("fails when the file is missing or shorter, and can be cancelled", async () => {
    await expectError("RANKCAST_FILE_UNREADABLE", hashFile(join(directory(), "none"), 5));
    await writeFile(join(directory(), "short"), "123");
    await expectError("RANKCAST_FILE_UNREADABLE", hashFile(join(directory(), "short"), 5));
    startFileJob(join(directory(), "short")).cancel();
    expect(await hashFile(join(directory(), "short"), 3)).to.equal(sha256(Buffer.from("123")));
    const aborted = await hashFile(join(directory(), "short"), 3, AbortSignal.abort()).catch((error: unknown) => error);
    expect(aborted).to.have.property("name", "AbortError");
  });
});
