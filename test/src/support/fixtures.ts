/** The fixture files and what is known about them. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Absolute path of `test/fixtures`. */
export const FIXTURES = fileURLToPath(new URL("../../fixtures/", import.meta.url));

/** One row of expected.json; README.md beside it defines every field. */
export interface FixtureRow {
  readonly format?: string;
  readonly tensors?: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly sha256: string | null;
  }[];
  readonly order?: "any";
  readonly aliases?: readonly (readonly string[])[];
  readonly nontensor?: Readonly<Record<string, string>>;
  readonly metadata_modules?: Readonly<Record<string, number>>;
  readonly optional_tensors?: readonly { readonly name: string }[];
  readonly unlisted?: readonly string[];
  readonly opaque?: readonly string[];
  readonly either?: readonly string[];
  readonly class?: string | readonly string[];
  readonly code?: string;
}

/** Path below `FIXTURES` to what to expect of it. */
export const EXPECTED: ReadonlyMap<string, FixtureRow> = new Map(
  Object.entries(JSON.parse(readFileSync(`${FIXTURES}expected.json`, "utf8")) as Record<string, FixtureRow>),
);

/** Classes with which a fixture may be refused; empty when it must be read. */
export function refusalClasses(row: FixtureRow): readonly string[] {
  if (row.class === undefined) return [];
  return typeof row.class === "string" ? [row.class] : row.class;
}

/** Bytes of a fixture. */
export function fixtureBytes(path: string): Buffer {
  return readFileSync(FIXTURES + path);
}
