/** Decisions are found by their numbers: each has one, in its file's name and in its heading, and links name the number they lead to. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { REPOSITORY } from "../support/source-files.js";

const FOLDER = join(REPOSITORY, "docs", "adr");

describe("docs: decisions", () => {
  const files = readdirSync(FOLDER).sort();

  it("are numbered one by one, in names and headings", () => {
    expect(files.map((name) => Number(name.slice(0, 4)))).to.deep.equal(files.map((_, index) => index + 1));
    for (const name of files)
      expect(readFileSync(join(FOLDER, name), "utf8"), name).to.match(new RegExp(`^# ${Number(name.slice(0, 4))}\\. `));
  });

  it("are linked under their numbers", () => {
    const pages = [join(REPOSITORY, "ARCHITECTURE.md"), ...files.map((name) => join(FOLDER, name))].map((path) =>
      readFileSync(path, "utf8"),
    );
    const links = pages.flatMap((text) => [...text.matchAll(/\[ADR (\d+)\]\((?:docs\/adr\/)?(\d{4}-[a-z0-9-]+\.md)\)/g)]);
    expect(links).to.have.length.of.at.least(10);
    for (const [, number, name = ""] of links) {
      expect(files).to.include(name);
      expect(Number(name.slice(0, 4)), name).to.equal(Number(number));
    }
  });
});
