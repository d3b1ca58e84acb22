/**
 * Two nodes on one machine: two launchers that share nothing but a port, as on two machines, where each would be started by hand:
 *
 *     rankcast run --nnodes 2 --node-rank 0 --nproc-per-node 2 --rdzv-endpoint node-a:29400 rank.js    # on node-a
 *     rankcast run --nnodes 2 --node-rank 1 --nproc-per-node 2 --rdzv-endpoint node-a:29400 rank.js    # on node-b
 *
 * (off one machine also with the same RANKCAST_TOKEN_FILE on both). `node examples/dist/two-nodes/main.js`
 */
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";

const NODES = 2;
const port = await freePort();
const launchers = Array.from({ length: NODES }, (_, nodeRank) =>
  spawn(process.execPath, [fileURLToPath(new URL("./node-launcher.js", import.meta.url)), String(nodeRank), String(port)], {
    stdio: "inherit",
  }),
);
const exitCodes = await Promise.all(
  launchers.map((each) => new Promise<number>((resolve) => each.once("exit", (code) => resolve(code ?? 1)))),
);
process.exitCode = exitCodes.find((code) => code !== 0) ?? 0;

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 29400));
    });
  });
}
