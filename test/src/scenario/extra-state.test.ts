/** Extra state of modules reaches every replica of every rank: from a file that torch wrote, and with weight updates. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { documentsOf, launchRanks } from "../support/launch-ranks.js";

const BOUND_MS = 30_000;
const PROGRAM = fileURLToPath(new URL("programs/extra-state.js", import.meta.url));
const FIXTURE = fileURLToPath(new URL("../../fixtures-extra-state/torch-2.13", import.meta.url));

describe("scenario: extra state", function () {
  this.timeout(BOUND_MS + 10_000);
  const sandbox = commandSandbox();

  for (const [title, env] of [
    ["mapped", {}],
    ["without mapping", { RANKCAST_NO_MMAP: "1" }],
  ] as const) {
    it(`F17: ${title}: every module of every replica gets what torch gives it, and then each update's`, async () => {
      const { states } = JSON.parse(readFileSync(`${FIXTURE}.json`, "utf8")) as { readonly states: Readonly<Record<string, unknown>> };
      const args = [`${FIXTURE}.pt`, Object.keys(states).join(",")];
      const results = await launchRanks(sandbox(), PROGRAM, 2, { args, env, timeoutMs: BOUND_MS });
      for (const { loaded, updated } of documentsOf<{ loaded: unknown[]; updated: unknown[] }>(results)) {
        expect(loaded).to.deep.equal([states, states, states]);
        updated.forEach((replicas, turn) => {
          const scale = { tensor: ["float32", [2], [turn, turn + 0.5]] };
          const expected = {
            dict: [
              ["margin", turn === 4 ? 2 : 1],
              ["scale", { sequence: [scale] }],
            ],
          };
          expect(replicas, `update ${turn}`).to.deep.equal([expected, expected]);
        });
      }
      expect(await sandbox().leftovers()).to.deep.equal([]);
    });
  }
});
