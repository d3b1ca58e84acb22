/** `mapLocation: "shared"`: one writable copy of the weights for all replicas of a process, and of no other. */
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { FIXTURES } from "../support/fixtures.js";
import { documentsOf, launchRanks } from "../support/launch-ranks.js";

const WEIGHTS = `${FIXTURES}accepted/torch-zip/state_dict_t213.pt`;
const BOUND_MS = 30_000;
const PROGRAM = fileURLToPath(new URL("programs/shared-weights.js", import.meta.url));

interface Seen {
  readonly before: readonly (readonly number[])[];
  readonly after: readonly (readonly number[])[];
}

describe("scenario: shared weights", function () {
  this.timeout(BOUND_MS + 10_000);
  const sandbox = commandSandbox();

  for (const [title, env] of [
    ["mapped", {}],
    ["without mapping", { RANKCAST_NO_MMAP: "1" }],
  ] as const) {
    it(`E2: ${title}: what one replica writes, the others of its process see, and nobody else`, async () => {
      const results = await launchRanks(sandbox(), PROGRAM, 2, { args: [WEIGHTS], env, timeoutMs: BOUND_MS });
      for (const { rank, seen } of documentsOf<{ rank: number; seen: Seen[] }>(results)) {
        const [first = []] = seen[0]?.before ?? [];
        const written = first.map((value) => Math.fround(value * (rank + 2)));
        expect(written).to.not.deep.equal(first);
        for (const { before } of seen) expect(before).to.deep.equal([first, first]);
        expect(seen.map(({ after }) => after)).to.deep.equal([
          [written, written],
          [written, written],
          [written, first],
        ]);
      }
      expect(await sandbox().leftovers()).to.deep.equal([]);
    });
  }
});
