/** Where the head of nodes that share a machine leaves its address. */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MeetingPlace } from "@rankcast/coordinator/internal";
import { uniqueTag } from "@rankcast/core/runtime";
import { expect } from "chai";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const NOTICE = { address: "127.0.0.1:1", token: "secret" };

describe("the meeting place of nodes", () => {
  const directory = temporaryDirectory();
  const place = (...parts: string[]): MeetingPlace => new MeetingPlace(directory(), parts);
  const folders = (): string[] => readdirSync(directory()).flatMap((base) => readdirSync(join(directory(), base)));

  it("looking for a head leaves nothing", () => {
    expect(place("job").read()).to.equal(null);
    expect(readdirSync(directory())).to.deep.equal([]);
  });

  it("nodes of the job read what its head has left, others nothing; when it is taken away nothing stays", () => {
    const head = place("job");
    head.leave(NOTICE);
    expect(place("job").read()).to.deep.equal(NOTICE);
    expect(place("another job").read()).to.equal(null);
    head.clear();
    expect(place("job").read()).to.equal(null);
    expect(folders()).to.deep.equal([]);
    // Nodes gather again when the job restarts.
    head.leave({ ...NOTICE, address: "127.0.0.1:2" });
    expect(place("job").read()?.address).to.equal("127.0.0.1:2");
    head.clear();
    head.clear();
    expect(folders()).to.deep.equal([]);
  });

  it("a node that has left no notice takes none away", () => {
    const head = place("job");
    head.leave(NOTICE);
    place("job").clear();
    expect(place("job").read()).to.deep.equal(NOTICE);
    head.clear();
  });

  it("the notice of a head that was killed is none", () => {
    const head = place("job");
    head.leave(NOTICE);
    const [name = ""] = folders();
    head.clear();
    const left = join(directory(), readdirSync(directory())[0] ?? "", name);
    mkdirSync(left, { mode: 0o700 });
    writeFileSync(join(left, "head"), JSON.stringify(NOTICE));
    writeFileSync(join(left, `owner-${uniqueTag().replace(/^\d+-\d+/, "999999-1")}`), "");
    expect(place("job").read()).to.equal(null);
    head.leave({ ...NOTICE, token: "another" });
    expect(place("job").read()?.token).to.equal("another");
    head.clear();
  });
});
