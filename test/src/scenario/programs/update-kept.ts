/**
 * One rank of a job over two nodes that updates a wide model again and again, from ranks of both nodes in turns. After a first turn of everybody nothing may be mapped or
 * allocated any more: what is mapped here and which memory this node's coordinator holds is looked at after every update. Prints it all.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";
import { ELEMENTS } from "../replicas/wide-model.js";

const UPDATES = 16;
const WEIGHTS_BYTES = 2 * 4 * ELEMENTS;

await using group = await joinGroup();
const pool = await group.createPool({ replica: new URL("../replicas/wide-model.js", import.meta.url), replicas: 2 });
const left = new Float32Array(ELEMENTS);
const right = new Float32Array(ELEMENTS);
const steps: unknown[] = [];
for (let turn = 1; turn <= UPDATES; turn += 1) {
  // Two in a row from each of the four ranks' two first of their nodes: both of their sets come into use.
  const src = [0, 0, 2, 2][(turn - 1) % 4] ?? 0;
  // Every third time everything changes; else what travels is a difference.
  const isSmall = turn % 3 !== 1;
  if (isSmall) left[turn] = turn;
  else for (const [part, values] of [left, right].entries()) noise(values, 2 * turn + part);
  const weights = new StateDict([
    ["left", Tensor.from(left, [ELEMENTS])],
    ["right", Tensor.from(right, [ELEMENTS])],
  ]);
  const report = await pool.update(group.rank === src ? weights : null, { src, version: `turn ${turn}` });
  const held = await Promise.all([0, 1].map((replica) => pool.stateDict({ replica })));
  const same = held.every((state) => digest([...state.values()].map(({ data }) => data as Float32Array)) === digest([left, right]));
  steps.push({ turn, isSmall, same, encoding: report.broadcast?.encoding, mapped: mappedHere(), held: heldByCoordinator() });
  // As training does: what a replica writes over its weights is gone with the next update.
  await pool.runAll("scribble", 0);
  await group.barrier("looked");
}
process.stdout.write(JSON.stringify({ rank: group.rank, nodeRank: group.nodeRank, steps }));

/** The same on every rank, so that each knows what it must hold. */
function noise(values: Float32Array, seed: number): void {
  let state = seed * 2_654_435_761;
  for (let index = 0; index < values.length; index += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    values[index] = state / 2 ** 31;
  }
}

function digest(parts: readonly Float32Array[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

/** Where memory of the size of the weights is mapped in this process, replicas' threads included. */
function mappedHere(): string[] {
  const lines = readFileSync("/proc/self/maps", "utf8").split("\n");
  return lines.filter((line) => {
    const [begin = 0, end = 0] = (line.split(" ")[0] ?? "").split("-").map((address) => Number.parseInt(address, 16));
    return line.includes("memfd:rankcast") && end - begin >= WEIGHTS_BYTES;
  });
}

/** Memory files of the size of the weights in the launcher, which is this node's coordinator. */
function heldByCoordinator(): number[] {
  const folder = `/proc/${process.ppid}/fd`;
  const inodes = readdirSync(folder).flatMap((fd) => {
    try {
      const path = `${folder}/${fd}`;
      const { size, ino } = statSync(path);
      return readlinkSync(path).includes("memfd:rankcast") && size >= WEIGHTS_BYTES ? [ino] : [];
    } catch {
      return [];
    }
  });
  return [...new Set(inodes)].sort((one, other) => one - other);
}
