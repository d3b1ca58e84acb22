/** Environments of rank processes as recorded under the real launchers (host names and paths replaced); the fixture says how. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { FIXTURES } from "../../support/fixtures.ts";

/** Variables by name. */
export type Variables = Readonly<Record<string, string>>;

const RECORDED = new Map<string, { readonly how: string; readonly env: Variables }>(
  Object.entries(JSON.parse(readFileSync(join(FIXTURES, "launchers", "environments.json"), "utf8"))),
);

/** The environment recorded under that name. */
export function recorded(name: string): Variables {
  const found = RECORDED.get(name);
  if (found === undefined) throw new Error(`no recording ${name}`);
  return found.env;
}
