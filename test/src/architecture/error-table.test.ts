/** The error table and its page agree, and no code in the sources is missing from it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ERROR_CODES } from "@rankcast/core";
import { expect } from "chai";
import { REPOSITORY, sourceFiles } from "../support/source-files.js";

describe("architecture: error table", () => {
  it("docs/errors.md lists every code with class, meaning and remedy", () => {
    const page = readFileSync(join(REPOSITORY, "docs", "errors.md"), "utf8");
    const missing = [...ERROR_CODES]
      .filter(([code, row]) => !page.includes(`| \`${code}\` | ${row.class} | ${row.meaning} | ${row.remedy} |`))
      .map(([code]) => code);
    expect(missing, "run: node scripts/generate-error-page.mjs").to.deep.equal([]);
    expect(
      [...page.matchAll(/`(RANKCAST_[A-Z0-9_]+)` \|/g)].filter(
        ([, code]) => !(ERROR_CODES as ReadonlyMap<string, unknown>).has(code ?? ""),
      ),
    ).to.deep.equal([]);
  });

  it("every row is used by some source file", () => {
    const text = sourceFiles("packages")
      .filter((file) => !file.path.includes("/errors/codes/"))
      .map((file) => file.text)
      .join("\n");
    const unused = [...ERROR_CODES.keys()].filter((code) => !text.includes(`"${code}"`));
    expect(unused).to.deep.equal([]);
  });

  it("meanings and remedies are sentences", () => {
    const wrong = [...ERROR_CODES]
      .filter(([, row]) => !/^[A-Z].*\.$/s.test(row.meaning) || !/[.)]$/.test(row.remedy))
      .map(([code]) => code);
    expect(wrong).to.deep.equal([]);
  });
});
