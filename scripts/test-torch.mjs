/**
 * `[PYTHON=path:path] npm run test:torch [cases [seed [files]]]`: with every Python here that has torch, records fresh random cases and replays them
 * against loadStateDict, has torch write checkpoints of random content and reads them, and has torch read what saveTorch and saveSafetensors wrote.
 * The default suite replays a recording that is kept in the repository.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, install, ROOT, run } from "./bootstrap.mjs";
import { findPythons } from "./find-python.mjs";

async function testWith(python, cases, seed, files) {
  const folder = mkdtempSync(join(tmpdir(), "rankcast-torch-"));
  try {
    const path = join(folder, "transcripts.jsonl");
    const recorded = await run(python, [join(ROOT, "test", "torch", "make_transcripts.py"), path, cases, seed], { cwd: folder });
    if (recorded !== 0) return recorded;
    process.stderr.write(`Recorded ${cases} cases with seed ${seed}.\n`);
    const mocha = [
      join(ROOT, "test", "node_modules", "mocha", "bin", "mocha.js"),
      "--no-config",
      "--timeout",
      "120000",
      "dist/core/module/torch-transcripts.test.js",
      "dist/torch/*.torch.js",
    ];
    const settings = { RANKCAST_TRANSCRIPTS: path, RANKCAST_TORCH_SEED: seed, RANKCAST_TORCH_FILES: files, PYTHON: python };
    return await run(process.execPath, mocha, { cwd: join(ROOT, "test"), env: { ...process.env, ...settings } });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const pythons = findPythons("torch", "apt-get install python3-torch, or: pip install torch");
await install();
await build();
const [cases = "300", seed = String(Math.floor(Math.random() * 1e6)), files = "60"] = process.argv.slice(2);
for (const python of pythons) {
  process.stderr.write(`\nwith ${python}\n`);
  process.exitCode = (await testWith(python, cases, seed, files)) || process.exitCode;
}
