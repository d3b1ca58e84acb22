/**
 * The plain way, which rankcast is compared with: every rank reads every tensor of the file for itself and copies it into a model of its own, as
 * `torch.load` and `load_state_dict` on every rank do; like theirs, the model was built and touched before. Arguments: path, replicas, then
 * `offset:nbytes` of every tensor in the file. Says "ready", waits for "go", says what it cost.
 */
import { type FileHandle, open } from "node:fs/promises";
import { pssBytes } from "./pss.js";

/** One read call takes less than 2 GiB; a file may be larger. */
const READ_BYTES_MAX = 2 ** 30;

const [path = "", replicas = "1", ...extents] = process.argv.slice(2);
const tensors = extents.map((text) => text.split(":").map(Number) as [number, number]);

const before = pssBytes();
const models = Array.from({ length: Number(replicas) }, () => tensors.map(([, nbytes]) => new Uint8Array(nbytes).fill(1)));

process.on("message", async (message) => {
  if (message === "end") process.exit(0);
  for (const model of models) await loadInto(model);
  process.send?.({ copied: models.flat().reduce((sum, { length }) => sum + length, 0) });
  process.send?.({ pssBytes: pssBytes() - before, peakRssBytes: process.resourceUsage().maxRSS * 1024 });
});
process.send?.("ready");

/** Everything is read before anything is copied: only then is the checkpoint known to be whole. */
async function loadInto(model: readonly Uint8Array[]): Promise<void> {
  const file = await open(path);
  const state: Uint8Array[] = [];
  for (const [offset, nbytes] of tensors) state.push(await readExactly(file, offset, nbytes));
  await file.close();
  for (const [index, parameter] of model.entries()) parameter.set(state[index] ?? []);
}

async function readExactly(file: FileHandle, offset: number, nbytes: number): Promise<Uint8Array> {
  const target = Buffer.allocUnsafeSlow(nbytes);
  for (let done = 0; done < nbytes; ) {
    const { bytesRead } = await file.read(target, done, Math.min(READ_BYTES_MAX, nbytes - done), offset + done);
    if (bytesRead === 0) throw new Error(`${path} ends ${nbytes - done} bytes too early`);
    done += bytesRead;
  }
  return target;
}
