/** Weights that a learner publishes without waiting: whole versions only, in order, taken between steps, skipped when slow. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { type CommandSandbox, commandSandbox } from "../support/command-sandbox.js";
import { type NodesOptions, runNodes } from "../support/launch-nodes.js";
import { documentsOf, launchRanks } from "../support/launch-ranks.js";
import { ELEMENTS } from "./replicas/wide-model.js";

const VERSIONS = 60;
const WEIGHTS_BYTES = 2 * 4 * ELEMENTS;
const BOUND_MS = 80_000;
const PROGRAM = fileURLToPath(new URL("programs/live-weights.js", import.meta.url));
const TURNS_PROGRAM = fileURLToPath(new URL("programs/live-weights-turns.js", import.meta.url));
const BESIDE_PROGRAM = fileURLToPath(new URL("programs/live-weights-beside.js", import.meta.url));
const FULL_PROGRAM = fileURLToPath(new URL("programs/live-weights-full.js", import.meta.url));

interface ActorDocument {
  readonly rank: number;
  readonly nodeRank: number;
  readonly updates: readonly {
    readonly number: number;
    readonly version: string;
    readonly ageMs: number;
    readonly behind: number;
    readonly broadcast: { readonly bytes: number; readonly encoding: string } | null;
  }[];
  readonly held: readonly (readonly number[] | null)[];
  readonly replies: readonly { readonly version: string; readonly behind: number }[];
  readonly ended: readonly (readonly number[])[];
  readonly kept: readonly (readonly number[])[];
  readonly behind: number;
}

describe("scenario: live weights", function () {
  this.timeout(BOUND_MS + 10_000);
  const sandbox = commandSandbox();

  for (const [title, env] of [
    ["mapped", {}],
    ["without mapping", { RANKCAST_NO_MMAP: "1" }],
  ] as const) {
    it(`${title}: no replica ever shows two versions at once, a slow one skips, one that wants every version gets it`, async () => {
      const results = await launchRanks(sandbox(), PROGRAM, 3, { args: [String(VERSIONS)], env, timeoutMs: BOUND_MS });
      const [, ...actors] = documentsOf<ActorDocument>(results);
      expectWholeVersions(actors);
      expect(await sandbox().leftovers()).to.deep.equal([]);
    });
  }

  for (const { title, nodes, nprocPerNode, learner, env } of [
    { title: "from the head to two nodes", nodes: 3, nprocPerNode: 1, learner: 0, env: {} },
    { title: "from another node to its own ranks and to two of the head's", nodes: 2, nprocPerNode: 2, learner: 2, env: {} },
    { title: "from another node without mapping", nodes: 3, nprocPerNode: 1, learner: 1, env: { RANKCAST_NO_MMAP: "1" } },
  ]) {
    it(`on several nodes, ${title}: the same`, async () => {
      const words = [PROGRAM, String(VERSIONS), String(learner)];
      const documents = await documentsOfNodes<ActorDocument>(sandbox(), words, { nodes, nprocPerNode, env });
      const actors = documents.filter(({ rank }) => rank !== learner).sort((a, b) => a.rank - b.rank);
      expectWholeVersions(actors);
      const learnerNode = documents.find(({ rank }) => rank === learner)?.nodeRank ?? 0;
      for (const actor of actors)
        expectTravelled(actor, actor.nodeRank === learnerNode ? "here" : "RANKCAST_NO_MMAP" in env ? "whole" : "differences");
      expect(await sandbox().leftovers()).to.deep.equal([]);
    });
  }

  it("publishers of two nodes in turns: every version whole, from a neighbour's memory and from memory of the node", async () => {
    const turns = 8;
    const words = [TURNS_PROGRAM, String(turns)];
    const documents = await documentsOfNodes<{ readonly rank: number; readonly held: unknown }>(sandbox(), words, {
      nodes: 2,
      nprocPerNode: 2,
    });
    const every = Array.from({ length: turns }, (_, index) => ({ version: `turn ${index + 1}`, values: [index + 1] }));
    for (const { rank, held } of documents) expect(held).to.deep.equal(rank % 2 === 0 ? [] : every);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  for (const nodes of [1, 2]) {
    it(`a version of some names, on ${nodes} node(s): what is used of others beside it stays as it is, whoever goes on publishing`, async () => {
      const documents = await documentsOfNodes<{ readonly rank: number; readonly held: unknown }>(sandbox(), [BESIDE_PROGRAM], {
        nodes,
        nprocPerNode: 4 / nodes,
      });
      const beside = [
        { left: [1], right: [-1] },
        { left: [5], right: [-2] },
      ];
      expect(documents.find(({ rank }) => rank === 2)?.held).to.deep.equal(beside);
      expect(await sandbox().leftovers()).to.deep.equal([]);
    });
  }

  it("a node that has no room ends its subscription and nothing else; with room again the next one goes on (Linux: prlimit)", async function () {
    if (process.platform !== "linux") this.skip();
    const documents = await documentsOfNodes<{ readonly rank: number; readonly seen?: unknown }>(sandbox(), [FULL_PROGRAM], {
      nodes: 2,
      nprocPerNode: 1,
    });
    expect(documents.find(({ rank }) => rank === 1)?.seen).to.deep.equal([
      { stage: "room", outcome: "room", values: [0] },
      { stage: "no room", outcome: "RANKCAST_MEMORY_FULL", values: [0] },
      { stage: "room again", outcome: "room again", values: [2] },
    ]);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });
});

/** Standard outputs of all ranks of a job of several nodes. */
async function documentsOfNodes<T>(
  sandbox: CommandSandbox,
  words: readonly string[],
  options: Pick<NodesOptions, "nodes" | "nprocPerNode" | "env">,
): Promise<T[]> {
  const flags = (nodeRank: number) => ["--log-dir", join(sandbox.directory, `logs-${nodeRank}`), "--redirects", "1"];
  const results = await runNodes(sandbox, "run", words, { ...options, flags, timeoutMs: BOUND_MS });
  for (const { exitCode, stderr } of results) expect(exitCode, stderr).to.equal(0);
  const logs = sandbox.filesBelow(".").filter((path) => path.endsWith("stdout.log"));
  expect(logs.length).to.equal(options.nodes * options.nprocPerNode);
  return logs.map((path) => JSON.parse(sandbox.read(path)) as T);
}

/** Without what the replica itself has written into its own pages. */
function published(values: readonly number[]): number[] {
  return values.filter((value) => value !== -1);
}

/** How versions came to the actor's node: not at all, whole each time, or (all but the first) as differences, which are small as all elements are alike. */
function expectTravelled({ rank, updates }: ActorDocument, how: "here" | "whole" | "differences"): void {
  updates.forEach(({ broadcast }, index) => {
    const where = `rank ${rank}, version taken as number ${index + 1}`;
    if (how === "here") {
      expect(broadcast, where).to.equal(null);
      return;
    }
    const isWhole = how === "whole" || index === 0;
    expect(broadcast?.encoding, where).to.equal(isWhole ? "full" : "delta");
    if (isWhole) expect(broadcast?.bytes, where).to.be.within(WEIGHTS_BYTES, 1.1 * WEIGHTS_BYTES);
    else expect(broadcast?.bytes, where).to.be.below(0.05 * WEIGHTS_BYTES);
  });
}

/** The first of the actors is slow and wants the latest; the others want every version. */
function expectWholeVersions(actors: readonly ActorDocument[]): void {
  const [slow, ...every] = actors;
  for (const actor of actors) {
    expect(actor.ended.map(published)).to.deep.equal([[VERSIONS], [VERSIONS]]);
    expect(actor.kept.map(published)).to.deep.equal([[VERSIONS], [VERSIONS]]);
    expect(actor.behind).to.equal(0);
    const numbers = actor.updates.map(({ number }) => number);
    expect(numbers).to.deep.equal([...new Set(numbers)].sort((a, b) => a - b));
    for (const { number, version, ageMs, behind } of actor.updates) {
      expect(version).to.equal(`step ${number}`);
      expect(ageMs).to.be.at.least(0);
      expect(behind).to.be.at.least(0);
    }
  }
  for (const { updates } of every) {
    expect(updates.map(({ number }) => number)).to.deep.equal(Array.from({ length: VERSIONS }, (_, index) => index + 1));
  }
  // One value each time; -1 beside it is what the replica itself wrote into its own pages.
  for (const values of every.flatMap(({ held }) => held)) expect(values === null || values.length === 1, String(values)).to.equal(true);
  for (const values of slow?.held ?? []) {
    expect(values === null || published(values).length === 1, String(values)).to.equal(true);
  }
  expect(slow?.updates.length, "a slow subscriber skips").to.be.below(VERSIONS);
  // What a reply says about its weights is what it was made with.
  for (const actor of actors) {
    expect(actor.replies.length).to.equal(actor.held.length);
    actor.replies.forEach(({ version, behind }, index) => {
      const values = actor.held[index] ?? null;
      expect(version).to.equal(values === null ? "" : `step ${published(values)[0]}`);
      expect(behind).to.be.within(0, VERSIONS);
    });
  }
}
