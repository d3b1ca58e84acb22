/**
 * A launcher of your own: spawns ranks with torchrun's variables and knows nothing of rankcast. The ranks find each other by these variables; local
 * rank 0 starts the node's coordinator. `node examples/dist/custom-launcher/launcher.js [ranks]`
 */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";

const worldSize = Number(process.argv[2] ?? 3);
const runId = randomUUID();

const ranks = Array.from({ length: worldSize }, (_, rank) =>
  spawn(process.execPath, [fileURLToPath(new URL("./rank.js", import.meta.url))], {
    stdio: "inherit",
    env: {
      ...process.env,
      RANK: String(rank),
      LOCAL_RANK: String(rank),
      WORLD_SIZE: String(worldSize),
      LOCAL_WORLD_SIZE: String(worldSize),
      MASTER_ADDR: "127.0.0.1",
      MASTER_PORT: "29500",
      // Keeps jobs apart that run on one machine at the same time.
      TORCHELASTIC_RUN_ID: runId,
    },
  }),
);

// A rank that fails takes the others' collectives with it, with its own error: a launcher only has to wait.
const exitCodes = await Promise.all(ranks.map((rank) => new Promise<number>((resolve) => rank.once("exit", (code) => resolve(code ?? 1)))));
process.exitCode = exitCodes.find((code) => code !== 0) ?? 0;
