/** The program that `rankcast load` starts once per rank. The launcher prints reports and errors; this only ends with the right code. */
import { describeError } from "@rankcast/core/launcher";
import { loadRequestPath } from "../environment/environment.ts";
import { readLoadRequest } from "./load-request.ts";
import { performLoad } from "./perform-load.ts";

try {
  const request = readLoadRequest(loadRequestPath());
  await performLoad(request);
  // Nothing of a user's is left to run or to write: taking the heap down in order would only be waited for.
  if (request.model === null) process.exit();
} catch (error) {
  const { code, class: kind, message } = describeError(error);
  // Everything the coordinator knows is printed once, by the launcher; what it cannot know is printed here.
  if (kind === "coordinator-lost" || kind === "auth") process.stderr.write(`${code} ${message}\n`);
  process.exitCode = 1;
}
