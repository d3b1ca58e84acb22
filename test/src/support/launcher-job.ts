/** What every launcher's suite runs and expects: the program of a rank, its documents, and the truth they must hold. */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
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

/**
 * The command of one rank whose stdout goes to a file of its own: launchers join the ranks' outputs piece by piece, and long documents come out
 * mixed.
 */
export function rankCommand(directory: string, program: readonly string[]): string[] {
  const script = 'out=$1; shift; exec "$@" > "$out/rank.$SLURM_PROCID$OMPI_COMM_WORLD_RANK"';
  return ["sh", "-c", script, "sh", directory, process.execPath, ...program];
}

/** What the ranks wrote, by rank; ranks that wrote nothing are left out. Takes the files away. */
export function documentsIn<T = RankDocument>(directory: string): T[] {
  const files = readdirSync(directory).filter((name) => /^rank\.\d+$/.test(name));
  const rankOf = (name: string): number => Number(name.slice("rank.".length));
  return files
    .sort((a, b) => rankOf(a) - rankOf(b))
    .flatMap((name) => {
      const text = readFileSync(join(directory, name), "utf8");
      rmSync(join(directory, name));
      return text === "" ? [] : [JSON.parse(text) as T];
    });
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
