/**
 * Rank 0 publishes to rank 1 on another node, whose coordinator finds no room for a while: the kernel's limit on the size of its files. Prints what
 * rank 1 saw.
 */
import { execFileSync } from "node:child_process";
import { StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";
import { ELEMENTS } from "../replicas/wide-model.js";

const STAGES = ["room", "no room", "room again"];
/** Much more than one subscriber could hold on to. */
const VERSIONS = 40;

await using group = await joinGroup();
if (group.rank === 0) await learn();
else await act();

async function learn(): Promise<void> {
  for (const [index, stage] of STAGES.entries()) {
    await group.barrier(`${stage}: begins`);
    for (let turn = 0; turn < VERSIONS; turn += 1) {
      const values = () => Tensor.from(new Float32Array(ELEMENTS).fill(index), [ELEMENTS]);
      await group.publish(new StateDict([["left", values()] as const, ["right", values()] as const]), { version: stage });
    }
    await group.barrier(`${stage}: published`);
    await group.barrier(`${stage}: ends`);
  }
  process.stdout.write(JSON.stringify({ rank: 0 }));
}

async function act(): Promise<void> {
  const pool = await group.createPool({ replica: new URL("../replicas/wide-model.js", import.meta.url), replicas: 1 });
  const seen: unknown[] = [];
  for (const [index, stage] of STAGES.entries()) {
    if (index > 0) limitFiles(stage === "no room" ? "100000:" : "unlimited:");
    let settle: ((outcome: string) => void) | undefined;
    const settled = new Promise<string>((resolve) => {
      settle = resolve;
    });
    await group.barrier(`${stage}: begins`);
    // Before this the newest version is one of the stage before.
    await group.barrier(`${stage}: published`);
    const subscription = pool.subscribe({
      policy: "latest",
      onUpdate: ({ version }) => settle?.(version),
      onError: ({ code }) => settle?.(String(code)),
    });
    const outcome = await settled;
    seen.push({ stage, outcome, values: await pool.run("distinctValues") });
    await subscription.close();
    await group.barrier(`${stage}: ends`);
  }
  process.stdout.write(JSON.stringify({ rank: group.rank, seen }));
}

/** Of this node's launcher, in whose process the node's weights arrive. */
function limitFiles(bytes: string): void {
  execFileSync("prlimit", ["--pid", String(process.ppid), `--fsize=${bytes}`]);
}
