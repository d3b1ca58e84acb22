import { execFile } from "node:child_process";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { directorySiblings } from "@rankcast/core/internal";
import { expect } from "chai";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const run = promisify(execFile);
/** Root may read everything, so the list is made by a process that is nobody. */
const NOBODY = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};

describe("directorySiblings", () => {
  const directory = temporaryDirectory();

  it("lists regular files here and one folder down, through links", async () => {
    mkdirSync(join(directory(), "a/b"), { recursive: true });
    for (const name of ["one.pt", "a/two.pt", "a/b/three.pt"]) writeFileSync(join(directory(), name), "");
    symlinkSync("a", join(directory(), "link"));
    symlinkSync("nowhere", join(directory(), "dangling.pt"));
    symlinkSync("/dev/zero", join(directory(), "device.pt"));
    const siblings = directorySiblings(directory());
    expect(await siblings.list()).to.deep.equal(["a/two.pt", "link/two.pt", "one.pt"]);
    await siblings.close();
  });

  it("a folder that is closed to us does not hide the others", async () => {
    mkdirSync(join(directory(), "closed"), { mode: 0o700 });
    writeFileSync(join(directory(), "model.pt"), "");
    chmodSync(join(directory(), "closed"), NOBODY.uid === undefined ? 0 : 0o700);
    chmodSync(directory(), 0o755);
    const door = import.meta.resolve("@rankcast/core/internal");
    const script = `const { directorySiblings } = await import(process.argv[1]);
      console.log(JSON.stringify(await directorySiblings(process.argv[2]).list()));`;
    const { stdout } = await run(process.execPath, ["--input-type=module", "-e", script, door, directory()], { ...NOBODY, cwd: "/" });
    expect(JSON.parse(stdout)).to.deep.equal(["model.pt"]);
    chmodSync(join(directory(), "closed"), 0o700);
  });
});
