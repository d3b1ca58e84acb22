/**
 * `npm run test:cluster`: the real job over several hosts, which are network namespaces of this machine with limited links.
 * Everything runs inside namespaces of the suite's own (mounts, network; as a user too when not root), so nothing is left behind.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { build, install, ROOT, run } from "./bootstrap.mjs";

const env = { ...process.env, PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin` };
const missing = ["unshare", "ip", "tc", "nft"].filter(
  (program) => spawnSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore", env }).status !== 0,
);
if (missing.length > 0) {
  process.stderr.write(`test:cluster: ${missing.join(", ")} missing; on Debian: apt-get install util-linux iproute2 nftables\n`);
  process.exit(2);
}
const unshare = [...(process.getuid?.() === 0 ? [] : ["-Ur"]), "-m", "-n"];
if (spawnSync("unshare", [...unshare, "true"], { stdio: "ignore" }).status !== 0) {
  process.stderr.write("test:cluster: this system does not allow new network namespaces (unshare -Urmn)\n");
  process.exit(2);
}
await install();
await build();
const mocha = [
  process.execPath,
  join(ROOT, "test", "node_modules", "mocha", "bin", "mocha.js"),
  "--no-config",
  "--forbid-only",
  "--timeout",
  "120000",
];
const files = ["dist/cluster/*.cluster.js", ...process.argv.slice(2)];
// `ip netns` keeps its names below /run: a private one, so that other users of this machine have theirs.
const script = 'mount -t tmpfs none /run && mkdir -p /run/netns && ip link set lo up && exec "$@"';
process.exit(await run("unshare", [...unshare, "sh", "-c", script, "sh", ...mocha, ...files], { cwd: join(ROOT, "test"), env }));
