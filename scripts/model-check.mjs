/**
 * Checks the model of the barrier (docs/model/barrier.pml) with spin: that it keeps its invariants, that every wait ends, and that each
 * of the mistakes that can be built into it is found. `--full` searches larger worlds (about 60 million states, some minutes).
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "./bootstrap.mjs";

const MODEL = join(ROOT, "docs", "model", "barrier.pml");
const full = process.argv.includes("--full");

/** Each check: what is built in, how it is searched, and the error that must be found (none: the model must hold). */
const CHECKS = [
  { title: "3 ranks, 2 generations, 3 troubles", define: ["N=3", "G=2", "TROUBLES=3"] },
  { title: "4 ranks, 1 generation, 2 troubles", define: ["N=4", "G=1", "TROUBLES=2"] },
  ...(full
    ? [
        { title: "3 ranks, 2 generations, 5 troubles", define: ["N=3", "G=2", "TROUBLES=5"] },
        { title: "4 ranks, 2 generations, 2 troubles", define: ["N=4", "G=2", "TROUBLES=2"] },
      ]
    : []),
  { title: "every wait ends", define: ["LIVENESS", "G=2", "TROUBLES=2"], liveness: true },
  { title: "mistake: the coordinator forgets decisions", define: ["VOLATILE"], finds: /assertion violated .*told_pass.*told_fail/ },
  { title: "mistake: ranks time out by themselves", define: ["MEMBER_TIMEOUT"], finds: /assertion violated .*told_pass.*told_fail/ },
  { title: "mistake: arrivals count for any generation", define: ["NO_GENERATIONS"], finds: /assertion violated .*came/ },
  { title: "mistake: no deadline", define: ["LIVENESS", "NO_DEADLINE", "G=1", "TROUBLES=2"], liveness: true, finds: /acceptance cycle/ },
];

for (const program of ["spin", "cc"]) {
  if (spawnSync(program, ["--version"], { stdio: "ignore" }).error) {
    process.stderr.write(`${program} is missing; on Debian: apt-get install spin gcc libc6-dev\n`);
    process.exit(2);
  }
}

let wrong = 0;
for (const check of CHECKS) {
  const { text, seconds } = search(check);
  const states = Number(/^\s*([\d.e+]+) states, stored/m.exec(text)?.[1] ?? 0);
  const clean = /errors: 0$/m.test(text);
  // A search that gave up says so and proves nothing.
  const complete = !/max search depth too small|out of memory|not completed/i.test(text);
  const good = check.finds === undefined ? clean && complete && states > 0 : !clean && check.finds.test(text);
  if (!good) wrong += 1;
  const found = check.finds === undefined ? (clean ? "holds" : "BROKEN") : clean ? "NOT FOUND" : "found";
  process.stdout.write(
    `${good ? "ok  " : "FAIL"} ${check.title}: ${found}, ${states.toLocaleString("en")} states, ${seconds.toFixed(1)} s\n`,
  );
  if (!good) process.stdout.write(text);
}
process.stdout.write(`${CHECKS.length - wrong} passing\n${wrong > 0 ? `${wrong} failing\n` : ""}`);
process.exit(wrong === 0 ? 0 : 1);

/** Builds and runs one search in a folder of its own. */
function search({ define, liveness = false }) {
  const folder = mkdtempSync(join(tmpdir(), "rankcast-model-"));
  const begin = performance.now();
  try {
    execFileSync("spin", [...define.map((name) => `-D${name}`), "-a", MODEL], { cwd: folder, stdio: "ignore" });
    // COLLAPSE keeps states in about a third of the memory; NFAIR makes room for nine processes and fairness.
    execFileSync("cc", ["-w", "-O2", ...(liveness ? ["-DNFAIR=4"] : ["-DSAFETY", "-DCOLLAPSE"]), "-o", "pan", "pan.c"], { cwd: folder });
    const run = spawnSync("./pan", ["-m1000000", ...(liveness ? ["-a", "-f"] : [])], { cwd: folder, encoding: "utf8", maxBuffer: 2 ** 28 });
    return { text: run.stdout.replace(/^Depth=.*\n/gm, "") + run.stderr, seconds: (performance.now() - begin) / 1000 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
