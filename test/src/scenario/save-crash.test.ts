/** Ranks that die while they save: what was complete before is complete after, and the next run goes on from there. */
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { documentsOf, launchRanks } from "../support/launch-ranks.js";

const PROGRAM = fileURLToPath(new URL("programs/save-crash.js", import.meta.url));
const BOUND_MS = 60_000;
/** A kill that comes too late is no crash in the middle; it is looked at all the same. */
const ATTEMPTS_MAX = 4;

describe("scenario: a crash in the middle of a save", function () {
  this.timeout(4 * BOUND_MS);
  const sandbox = commandSandbox();

  for (const [title, shards, ranks, victim] of [
    ["rank 0, which writes the file", "one", 2, 0],
    ["one of those that write a part each: the others clean up", "ranks", 2, 1],
    ["all of those that write a part each", "ranks", 2, "all"],
  ] as const) {
    it(title, async () => {
      const suffix = shards === "one" ? ".safetensors" : "";
      let fired = false;
      for (let attempt = 0; attempt < ATTEMPTS_MAX && !fired; attempt += 1) {
        const folder = join(sandbox().directory, `run-${attempt}`);
        mkdirSync(folder);
        const crashed = await launchRanks(sandbox(), PROGRAM, ranks, { args: [folder, shards, String(victim)], timeoutMs: BOUND_MS });
        expect(crashed[victim === "all" ? 0 : victim]?.signal).to.equal("SIGKILL");
        const unfinished = readdirSync(folder).filter((name) => name.startsWith("."));
        // Who is left removes what is unfinished; a kill may also come a moment after the save.
        fired = victim === 1 || unfinished.length > 0;
        const complete = stepsIn(folder, suffix);
        const last = complete.at(-1) ?? -1;
        expect(last).to.be.at.least(2);
        if (victim === 1) expect(unfinished).to.deep.equal([]);
        for (const name of unfinished) expect(name).to.include(`.step-${String(last + 1).padStart(6, "0")}`);
        // One rank fewer: what the first run left unfinished has parts that nobody writes now.
        const results = await launchRanks(sandbox(), PROGRAM, 1, { args: [folder, shards, "none"], timeoutMs: BOUND_MS });
        const weights = join(folder, `step-${String(last).padStart(6, "0")}${suffix}`);
        for (const document of documentsOf<unknown>(results)) {
          expect(document).to.deep.equal({ resumed: { weights, step: last }, held: [last] });
        }
        expect(stepsIn(folder, suffix).slice(-3)).to.deep.equal([last + 1, last + 2, last + 3]);
        if (shards === "one") continue;
        const parts = readdirSync(join(folder, `step-${String(last + 1).padStart(6, "0")}`)).sort();
        expect(parts).to.deep.equal(["model-00001-of-00001.safetensors", "model.safetensors.index.json"]);
      }
      expect(fired, "a crash in the middle").to.equal(true);
      expect(await sandbox().leftovers()).to.deep.equal([]);
    });
  }
});

function stepsIn(folder: string, suffix: string): number[] {
  const own = readdirSync(folder).flatMap((name) => new RegExp(`^step-(\\d+)${suffix.replace(".", "\\.")}$`).exec(name)?.[1] ?? []);
  return own.map(Number).sort((one, other) => one - other);
}
