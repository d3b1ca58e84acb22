/** The built programs of the examples. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { REPOSITORY } from "../support/source-files.js";

/** Path of a built file, `cartpole/main.js` for example. */
export function exampleProgram(name: string): string {
  return join(REPOSITORY, "examples", "dist", name);
}

/** A module of an example. */
export async function importExample<T>(name: string): Promise<T> {
  return (await import(pathToFileURL(exampleProgram(name)).href)) as T;
}

/** One line that the learner of examples/cartpole prints. */
export interface UpdateLine {
  readonly update: number;
  readonly steps: number;
  readonly meanReturn: number;
  /** Versions that the oldest policy that played was behind. */
  readonly lag: number;
  readonly seconds: number;
}

/** The learner's lines, in order. */
export function updateLines(stdout: string): UpdateLine[] {
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as UpdateLine);
}
