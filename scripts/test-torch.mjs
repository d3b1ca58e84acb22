/**
 * `[PYTHON=path] npm run test:torch [cases [seed]]`: records fresh random cases with the torch of this machine and replays them against loadStateDict, then has
 * torch read what saveTorch and saveSafetensors wrote. The default suite replays a recording that is kept in the repository.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, install, ROOT, run } from "./bootstrap.mjs";
import { findPython } from "./find-python.mjs";

const python = findPython("torch", "apt-get install python3-torch, or: pip install torch");
await install();
await build();
const folder = mkdtempSync(join(tmpdir(), "rankcast-torch-"));
try {
  const [cases = "300", seed = String(Math.floor(Math.random() * 1e6))] = process.argv.slice(2);
  const path = join(folder, "transcripts.jsonl");
  const recorded = await run(python, [join(ROOT, "test", "torch", "make_transcripts.py"), path, cases, seed], { cwd: folder });
  process.stderr.write(`Recorded ${cases} cases with seed ${seed}.\n`);
  const mocha = [
    join(ROOT, "test", "node_modules", "mocha", "bin", "mocha.js"),
    "--no-config",
    "--timeout",
    "120000",
    "dist/core/module/torch-transcripts.test.js",
    "dist/torch/*.torch.js",
  ];
  const replayed =
    recorded === 0
      ? await run(process.execPath, mocha, { cwd: join(ROOT, "test"), env: { ...process.env, RANKCAST_TRANSCRIPTS: path, PYTHON: python } })
      : 1;
  process.exitCode = recorded || replayed;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
