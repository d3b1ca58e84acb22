/** Runs the Python peers: PyTorch and safetensors as their users do. */
import { execFile } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { PeersCheckpoint } from "./peers-checkpoint.js";
import type { PeersCost } from "./peers-results.js";

/** What a Python can do, as `torch_ranks.py features` says. */
export interface PythonFeatures {
  readonly torch: string | null;
  /** `torch`: `torch.load(mmap=True)` and `assign=True`. `by hand`: older torch, the same steps done by the script. */
  readonly mmap: "torch" | "by hand" | null;
  readonly safetensors: string | null;
  readonly gloo: boolean;
}

/** A Python with torch. */
export interface TorchPython extends PythonFeatures {
  readonly program: string;
}

const SCRIPT = fileURLToPath(new URL("../../python/torch_ranks.py", import.meta.url));
const run = promisify(execFile);

/** Those of `programs` that have torch with gloo, the newest torch first. */
export async function findTorch(programs: readonly string[]): Promise<TorchPython[]> {
  const found: TorchPython[] = [];
  for (const program of programs) {
    try {
      const features = JSON.parse(await python(program, ["features"])) as PythonFeatures;
      if (features.torch !== null && features.gloo) found.push({ program, ...features });
    } catch {
      // Not installed, or no torch in it: the next one may have it.
    }
  }
  return found.sort((a, b) => compareVersions(b.torch ?? "", a.torch ?? ""));
}

/** Every Python on the path: which of them has the newest torch is not in its name. */
export function pythonsOnPath(path: string): string[] {
  const programs = path.split(delimiter).flatMap((directory) => ["python3", "python"].map((name) => join(directory, name)));
  const real = new Map(programs.filter((program) => existsSync(program)).map((program) => [realpathSync(program), program]));
  return [...real.values()];
}

function compareVersions(one: string, other: string): number {
  const [a, b] = [one, other].map((version) => version.split(/[.+]/).map((part) => Number.parseInt(part, 10) || 0));
  for (let at = 0; at < 3; at += 1) if ((a?.[at] ?? 0) !== (b?.[at] ?? 0)) return (a?.[at] ?? 0) - (b?.[at] ?? 0);
  return 0;
}

/** Runs one mode of the script on `ranks` ranks. @throws {Error} what the script said when it failed. */
export async function runPython(program: string, mode: string, ranks: number, checkpoint: PeersCheckpoint): Promise<PeersCost> {
  const { pt, safetensors, tensors } = checkpoint;
  const answer = await python(program, ["run", mode, `${ranks}`, JSON.stringify({ pt, safetensors, tensors })]);
  const { touched, ...cost } = JSON.parse(answer) as Omit<PeersCost, "touched"> & { readonly touched: readonly number[] };
  if (touched.length !== 1) throw new Error(`${mode}: the ranks hold different values (${touched.join(", ")})`);
  return { ...cost, touched: touched[0] ?? null };
}

/** In a folder of its own: Python puts the current one on its path. */
async function python(program: string, args: readonly string[]): Promise<string> {
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: "1" };
  const { stdout } = await run(program, [SCRIPT, ...args], { cwd: tmpdir(), env, maxBuffer: 2 ** 24 });
  return stdout;
}
