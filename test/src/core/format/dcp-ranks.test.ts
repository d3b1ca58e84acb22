/** Checkpoints with one description per rank, made from one that torch wrote with two. */
import { readFileSync } from "node:fs";
import { cp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { inspectCheckpoint, DEFAULT_LIMITS as limits } from "@rankcast/core";
import { type DcpItem, type DcpMetadata, mergeRanks, parseDcpMetadata, readPickle } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { FIXTURES } from "../../support/fixtures.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const TWO_RANKS = `${FIXTURES}accepted/dcp/two_rank`;

describe("distributed checkpoints without a common description", () => {
  const directory = temporaryDirectory();
  const whole = parseDcpMetadata(
    readPickle(readFileSync(`${TWO_RANKS}/.metadata`), { limits, where: { file: "x", baseOffset: 0 } }).value,
    "x",
    limits,
  );
  /** What one rank would have said: the items it wrote, and its parts of the tensors it shares. */
  const ofRank = (rank: number): DcpMetadata => ({
    ...whole,
    items: whole.items.flatMap((item): DcpItem[] => {
      if (item.type === "value") return item.slice.path.startsWith(`__${rank}_`) ? [item] : [];
      const parts = item.parts.filter(({ slice }) => slice.path.startsWith(`__${rank}_`));
      return parts.length === 0 ? [] : [{ ...item, parts }];
    }),
  });

  it("are put together from what every rank says", () => {
    const merged = mergeRanks([ofRank(0), ofRank(1)], "x");
    const byName = (metadata: DcpMetadata) => new Map(metadata.items.map((item) => [item.name, item]));
    expect(byName(merged)).to.deep.equal(byName(whole));
    // Replicated: the first rank's is taken.
    expect(byName(mergeRanks([whole, whole], "x"))).to.deep.equal(byName(whole));
  });

  it("refuse ranks that contradict each other", async () => {
    const other = { ...whole, items: whole.items.map((item) => (item.type === "tensor" ? { ...item, shape: [7, ...item.shape] } : item)) };
    await expectError("RANKCAST_DCP_METADATA", () => mergeRanks([whole, other], "x"));
  });

  it("are found in a directory, read, and incomplete without one of the ranks", async () => {
    const path = join(directory(), "per-rank");
    await cp(TWO_RANKS, path, { recursive: true });
    await cp(join(path, ".metadata"), join(path, "__1.metadata"));
    await rename(join(path, ".metadata"), join(path, "__0.metadata"));
    const digests = async (from: string) =>
      (await inspectCheckpoint(from, { digest: true })).tensors.map(({ name, sha256 }) => [name, sha256]);
    expect(await digests(path)).to.deep.equal(await digests(TWO_RANKS));
    await rm(join(path, "__1_0.distcp"));
    await expectError("RANKCAST_INDEX_SHARD", digests(path));
  });
});
