/** `npm run test:slurm`: several nodes of a real Slurm on this machine. Needs root: munged and slurmd start tasks of any user. */
import { runOptionalSuite } from "./optional-suite.mjs";

await runOptionalSuite({
  name: "test:slurm",
  programs: ["munged", "slurmctld", "slurmd", "srun", "scontrol"],
  packages: ["slurmctld", "slurmd", "slurm-client", "munge"],
  files: ["dist/launchers/slurm.launcher.js"],
  timeoutMs: 180_000,
});
