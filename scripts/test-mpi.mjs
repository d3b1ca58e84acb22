/** `npm run test:mpi`: Open MPI's mpirun with two hosts that are both this machine. */
import { runOptionalSuite } from "./optional-suite.mjs";

await runOptionalSuite({
  name: "test:mpi",
  programs: ["mpirun"],
  packages: ["openmpi-bin"],
  files: ["dist/launchers/mpi.launcher.js"],
  timeoutMs: 120_000,
});
