/** `inspectCheckpoint` and `rankcast inspect --json --digest` over the fixtures: the public answer, compared with what the writers' libraries read. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { CheckpointError, type InspectReport, inspectCheckpoint } from "@rankcast/core";
import { expect } from "chai";
import { EXPECTED, FIXTURES, type FixtureRow, refusalClasses } from "../support/fixtures.ts";
import { pythonValue } from "./python-value.ts";

const CLI = fileURLToPath(new URL("../../../packages/cli/bin/rankcast.js", import.meta.url));
const run = promisify(execFile);

const byName = (a: { readonly name: string }, b: { readonly name: string }): number => (a.name < b.name ? -1 : 1);

function expectTensors(report: InspectReport, row: FixtureRow): void {
  const optional = new Map((row.optional_tensors ?? []).map((tensor) => [tensor.name, tensor]));
  const isUnlisted = (name: string): boolean => (row.unlisted ?? []).some((each) => name === each || name.startsWith(`${each}.`));
  const found = report.tensors.map(({ name, dtype, shape, sha256 = null }) => ({ name, dtype, shape, sha256 }));
  const required = found.filter(({ name }) => !optional.has(name) && !isUnlisted(name));
  const expected = row.tensors ?? [];
  if (row.order === "any") expect([...required].sort(byName)).to.deep.equal([...expected].sort(byName));
  else expect(required).to.deep.equal(expected);
  for (const tensor of found) if (optional.has(tensor.name)) expect(tensor).to.deep.equal(optional.get(tensor.name));
}

function expectAliases(report: InspectReport, row: FixtureRow): void {
  const optional = new Set((row.optional_tensors ?? []).map(({ name }) => name));
  const listed = report.aliases.map((names) => names.filter((name) => !optional.has(name))).filter((names) => names.length > 1);
  const sorted = (groups: readonly (readonly string[])[]): string[] => groups.map((names) => JSON.stringify([...names].sort())).sort();
  expect(sorted(listed)).to.deep.equal(sorted(row.aliases ?? []));
}

function expectReport(report: InspectReport, row: FixtureRow): void {
  expect(report.format).to.equal(row.format);
  expectTensors(report, row);
  expectAliases(report, row);
  expect({ ...report.metadataModules }).to.deep.equal(row.metadata_modules ?? {});
  for (const [path, text] of Object.entries(row.nontensor ?? {})) {
    expect(Object.hasOwn(report.nontensor, path), `plain value ${path}`).to.equal(true);
    // JSON has no NaN and no infinities; what it gives for them is null.
    expect(JSON.parse(JSON.stringify(report.nontensor[path])), path).to.deep.equal(JSON.parse(JSON.stringify(pythonValue(text))));
  }
  const inert = new Set([...report.opaque.map((each) => each.path), ...Object.keys(report.nontensor)]);
  for (const path of row.opaque ?? []) expect(inert.has(path), `inert value at ${path}`).to.equal(true);
}

/** Whether the row may be refused and was, in a class that it names. */
function isFairRefusal(error: unknown, row: FixtureRow): boolean {
  return error instanceof CheckpointError && row.either?.includes("refused") === true && refusalClasses(row).includes(error.class);
}

const accepted = [...EXPECTED].filter(([path, row]) => path.startsWith("accepted/") && row.tensors !== undefined);

describe("inspectCheckpoint over fixtures that must be read", () => {
  for (const [path, row] of accepted) {
    it(path, async () => {
      try {
        const report = await inspectCheckpoint(FIXTURES + path, { digest: true });
        expectReport(report, row);
        expect(report.integrity).to.be.oneOf(["verified", "absent"]);
      } catch (error) {
        if (!isFairRefusal(error, row)) throw error;
      }
    });
  }

  it("reports a call that attacks use, though the pickle threw its result away", async () => {
    const report = await inspectCheckpoint(`${FIXTURES}accepted/torch-zip/hostile_pop_hidden.pt`);
    expect(report.warnings.map(({ code }) => code)).to.include("dangerous-calls");
    expect(report.warnings.find(({ code }) => code === "dangerous-calls")?.message).to.contain('"os.system"');
  });

  it("says in every hostile fixture which dangerous name it asks for", async () => {
    const hostile = accepted.filter(([path]) =>
      /hostile_(os|posix|nt|builtins|py2|subprocess|inst|obj|stack|pop|getattr|at_root)/.test(path),
    );
    expect(hostile.length).to.be.greaterThan(10);
    for (const [path] of hostile) {
      const report = await inspectCheckpoint(FIXTURES + path);
      const named = report.opaque.some(({ dangerous }) => dangerous) || report.warnings.some(({ code }) => code === "dangerous-calls");
      expect(named, path).to.equal(true);
    }
  });
});

describe("inspectCheckpoint over fixtures that must be refused", () => {
  for (const [path, row] of EXPECTED) {
    if (!path.startsWith("refused/")) continue;
    it(path, async () => {
      const outcome = await inspectCheckpoint(FIXTURES + path, { digest: true }).then(
        (report) => ({ report }),
        (error: unknown) => ({ error }),
      );
      if ("report" in outcome) {
        expect(row.either ?? [], "must be refused").to.include("accepted");
        if (row.tensors) expectTensors(outcome.report, row);
        return;
      }
      const { error } = outcome;
      if (!(error instanceof CheckpointError)) throw error;
      expect(error.class, error.message).to.be.oneOf([...refusalClasses(row)]);
      expectPlace(error, path);
    }).timeout(2000);
  }
});

/** Classes whose faults lie at a byte of the file. Others are about the file as a whole, or about numbers of one tensor. */
const CLASSES_WITH_OFFSET: ReadonlySet<string> = new Set(["zip", "pickle", "header", "integrity"]);

/** A refusal names the file, and record and byte where there are such. */
function expectPlace(error: CheckpointError, path: string): void {
  const name = path.split("/")[2] ?? "";
  expect(error.message, "names the file").to.contain(name);
  const { file, offset, record } = error.details;
  expect(String(file), "details name the file").to.contain(name);
  if (CLASSES_WITH_OFFSET.has(error.class)) {
    const placed = offset !== undefined || record !== undefined;
    expect(placed, `names a byte or record: ${error.code} ${error.message}`).to.equal(true);
  }
  if (typeof offset === "number") expect(offset).to.be.at.least(0);
}

describe("rankcast inspect --json --digest", () => {
  const firstOfFormat = new Map<string, readonly [string, FixtureRow]>();
  for (const [path, row] of accepted) {
    if (row.format !== undefined && row.either === undefined && !firstOfFormat.has(row.format)) firstOfFormat.set(row.format, [path, row]);
  }
  for (const [format, [path, row]] of firstOfFormat) {
    it(`${format}: ${path}`, async () => {
      const { stdout } = await run(process.execPath, [CLI, "inspect", FIXTURES + path, "--json", "--digest"]);
      expectReport(JSON.parse(stdout) as InspectReport, row);
    }).timeout(30_000);
  }

  it("a refusal is one JSON document on stderr's last line, and exit code 1", async () => {
    const path = "refused/zip/lfh_name_differs.pt";
    const known = EXPECTED.has(path) ? path : [...EXPECTED.keys()].find((each) => each.startsWith("refused/zip/"));
    const failure = (await run(process.execPath, [CLI, "inspect", FIXTURES + (known ?? ""), "--json"]).catch(
      (error: unknown) => error,
    )) as {
      readonly code: number;
      readonly stderr: string;
    };
    expect(failure.code).to.equal(1);
    const { error } = JSON.parse(failure.stderr.trim().split("\n").at(-1) ?? "") as { error: { class: string; details: { file: string } } };
    expect(error.class).to.equal("zip");
    expect(error.details.file).to.contain((known ?? "").split("/")[2]);
  }).timeout(30_000);
});
