/** ARCHITECTURE.md speaks of every folder there is, in the order in which they may import each other. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { REPOSITORY } from "../support/source-files.js";

const text = readFileSync(join(REPOSITORY, "ARCHITECTURE.md"), "utf8");

describe("docs: ARCHITECTURE", () => {
  for (const name of ["core", "worker", "coordinator", "cli"]) {
    it(`lists the folders of packages/${name}`, () => {
      const section = text.split(`### packages/${name}\n`)[1]?.split(/^#/m)[0] ?? "";
      const listed = [...section.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, folder]) => folder);
      const folders = readdirSync(join(REPOSITORY, "packages", name, "src"), { withFileTypes: true }).filter((entry) =>
        entry.isDirectory(),
      );
      expect(listed).to.include.members(folders.map((entry) => entry.name));
    });
  }

  it("names files and folders that exist", () => {
    const paths = [...text.matchAll(/`((?:core|worker|coordinator|cli)\/src\/[a-z/-]+(?:\.ts)?)`/g)].map(([, path = ""]) => path);
    expect(paths).to.have.length.of.at.least(5);
    for (const path of paths) {
      const folder = join(REPOSITORY, "packages", path, "..");
      expect(readdirSync(folder), path).to.include(path.split("/").at(-1));
    }
  });
});
