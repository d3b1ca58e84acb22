/** Every fixture that must be read, compared value by value with what the writing library reads. */
import type { CheckpointError } from "@rankcast/core";
import { expect } from "chai";
import { EXPECTED, type FixtureRow, refusalClasses } from "../support/fixtures.ts";
import { type InspectedCheckpoint, inspectFixture, prototypesAreClean } from "./inspect-fixture.ts";
import { pythonValue } from "./python-value.ts";

function expectTensors(found: InspectedCheckpoint, row: FixtureRow): void {
  const optional = new Set([...(row.optional_tensors ?? []).map(({ name }) => name), ...(row.unlisted ?? [])]);
  const known = (row.optional_tensors ?? []) as readonly { readonly name: string }[];
  const isUnlisted = (name: string): boolean => (row.unlisted ?? []).some((each) => name === each || name.startsWith(`${each}.`));
  const required = found.tensors.filter(({ name }) => !optional.has(name) && !isUnlisted(name));
  const sorted = <Each extends { readonly name: string }>(tensors: readonly Each[]): readonly Each[] =>
    row.order === "any" ? [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1)) : tensors;
  expect(sorted(required)).to.deep.equal(sorted(row.tensors ?? []));
  for (const tensor of found.tensors) {
    const expected = known.find(({ name }) => name === tensor.name);
    if (expected) expect(tensor).to.deep.equal(expected);
  }
}

function expectPlainValues({ manifest }: InspectedCheckpoint, row: FixtureRow): void {
  const found = new Map(manifest.nontensor);
  for (const [path, text] of Object.entries(row.nontensor ?? {})) {
    expect(found.has(path), `plain value ${path}`).to.equal(true);
    expect(pythonValue(text), path).to.deep.equal(found.get(path));
  }
}

describe("fixtures that must be read", () => {
  for (const [path, row] of EXPECTED) {
    if (row.tensors === undefined || !path.startsWith("accepted/")) continue;
    it(path, async () => {
      let found: InspectedCheckpoint;
      try {
        found = await inspectFixture(path);
      } catch (error) {
        if (!row.either?.includes("refused")) throw error;
        expect(refusalClasses(row)).to.include((error as CheckpointError).class);
        return;
      }
      expect(found.format).to.equal(row.format);
      expectTensors(found, row);
      const optional = new Set((row.optional_tensors ?? []).map(({ name }) => name));
      const aliases = found.aliases.map((names) => names.filter((name) => !optional.has(name))).filter((names) => names.length > 1);
      expect(aliases.map((names) => [...names].sort()).sort()).to.deep.equal((row.aliases ?? []).map((names) => [...names].sort()).sort());
      const versions = Object.fromEntries(found.manifest.metadataModules.map(([module, { version }]) => [module, version]));
      expect(versions).to.deep.equal(row.metadata_modules ?? {});
      expectPlainValues(found, row);
      const inert = new Set([...found.manifest.opaque.map((each) => each.path), ...found.manifest.nontensor.map(([place]) => place)]);
      for (const place of row.opaque ?? []) expect(inert.has(place), `inert value at ${place}`).to.equal(true);
      expect(prototypesAreClean()).to.equal(true);
    });
  }
});
