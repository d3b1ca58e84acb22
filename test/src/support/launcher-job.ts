/** What every launcher's suite runs and expects: the program of a rank, its documents, and the truth they must hold. */
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { expectReport, type ReportDocument } from "./expect-report.js";
import { EXPECTED, FIXTURES } from "./fixtures.js";

const CHECKPOINT = "accepted/torch-zip/state_dict_t213.pt";
/** A checkpoint that torch wrote. */
export const WEIGHTS = FIXTURES + CHECKPOINT;
/** The program of one rank: loads `WEIGHTS`, takes an update from the first and one from the last rank, prints a `RankDocument`. */
export const RANK_PROGRAM = fileURLToPath(new URL("../scenario/programs/model-update.js", import.meta.url));
const truth = EXPECTED.get(CHECKPOINT)?.tensors?.map(({ name, sha256 }) => [name, sha256]);

/** What the program of a rank prints. */
export interface RankDocument {
  readonly identity: {
    readonly rank: number;
    readonly localRank: number;
    readonly nodeRank: number;
    readonly worldSize: number;
    readonly localWorldSize: number;
  };
  readonly report: ReportDocument;
  readonly loaded: unknown;
  readonly generations: readonly number[];
  readonly digest: string;
}

/** One JSON document per rank from the launcher's joint stdout, by rank where they say it. */
export function parseRanks<T = RankDocument>(stdout: string): T[] {
  // Launchers join the ranks' outputs byte by byte; a rank prints one object without a line end.
  const documents = stdout
    .replaceAll("}{", "}\n{")
    .split("\n")
    .filter((line) => line.startsWith("{"));
  const rankOf = (document: unknown): number => (document as Partial<RankDocument>).identity?.rank ?? 0;
  return documents.map((line) => JSON.parse(line) as T).sort((a, b) => rankOf(a) - rankOf(b));
}

/** Every rank of every node holds torch's values, went through the same generations, and has the same report. */
export function expectJobLoaded(ranks: readonly RankDocument[], ranksPerNode: readonly number[]): void {
  const places = ranksPerNode.flatMap((localWorldSize, nodeRank) =>
    Array.from({ length: localWorldSize }, (_, localRank) => ({ localRank, nodeRank, localWorldSize })),
  );
  const worldSize = places.length;
  expect(ranks.map(({ identity }) => identity)).to.deep.equal(places.map((place, rank) => ({ rank, ...place, worldSize })));
  for (const { loaded, generations, report } of ranks) {
    expect(loaded).to.deep.equal(truth);
    expect(generations).to.deep.equal([0, 1, 1, 2, 2]);
    expectReport(JSON.stringify(report));
    expect(report).to.include({ worldSize, nodes: ranksPerNode.length });
  }
  expect(new Set(ranks.map(({ digest }) => digest)).size).to.equal(1);
  expect(new Set(ranks.map(({ report }) => JSON.stringify(report))).size).to.equal(1);
}
