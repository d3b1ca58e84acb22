/**
 * `npm start`: installs and builds what is missing, then runs the main job on what the repository ships: a small checkpoint written by
 * torch, served by an HTTP server of its own; 4 ranks × 2 replicas download it once, load it strictly and get three weight updates.
 * `npm start -- <arguments>` runs the command line instead.
 */
import { createReadStream, mkdtempSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, install, ROOT, run } from "./bootstrap.mjs";

await install();
await build();
const cli = join(ROOT, "packages", "cli", "bin", "rankcast.js");
const argumentsGiven = process.argv.slice(2);
process.exitCode = argumentsGiven.length > 0 ? await runCli(argumentsGiven) : await runMainJob();

function runCli(given, env = process.env) {
  return run(process.execPath, [cli, ...given], { env, cwd: process.env.INIT_CWD ?? process.cwd() });
}

async function runMainJob() {
  const file = join(ROOT, "examples", "assets", "ddp-convnet.pt");
  const cache = mkdtempSync(join(tmpdir(), "rankcast-start-"));
  let requests = 0;
  const server = createServer((request, response) => {
    requests += 1;
    response.writeHead(200, { "content-type": "application/octet-stream", "content-length": statSync(file).size });
    if (request.method === "HEAD") response.end();
    else createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const url = `http://127.0.0.1:${server.address().port}/ddp-convnet.pt`;
    process.stderr.write(
      `rankcast load ${url} --nproc-per-node 4 --replicas-per-rank 2 --strict --updates 3 --model examples/src/convnet-replica.ts\n`,
    );
    const code = await runCli(
      [
        "load",
        url,
        "--nproc-per-node",
        "4",
        "--replicas-per-rank",
        "2",
        "--strict",
        "--updates",
        "3",
        "--model",
        join(ROOT, "examples", "dist", "convnet-replica.js"),
      ],
      { ...process.env, RANKCAST_HOME: cache },
    );
    process.stderr.write(`The origin server saw ${requests} request${requests === 1 ? "" : "s"}.\n`);
    return code;
  } finally {
    server.close();
    rmSync(cache, { recursive: true, force: true });
  }
}
