/** How ranks of one node learn their coordinator's token. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { meetingPath, uniqueTag } from "@rankcast/core/runtime";
import { awaitMeetingToken, leaveMeetingToken } from "@rankcast/worker/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const FOREVER_MS = 2 ** 31 - 1;

describe("the token of a node's coordinator", () => {
  const directory = temporaryDirectory();
  const path = (): string => meetingPath(directory(), "job");
  const make = (owner = uniqueTag()): void => {
    mkdirSync(path(), { recursive: true, mode: 0o700 });
    writeFileSync(join(path(), `owner-${owner}`), "");
  };

  it("that is there is taken at once", async () => {
    make();
    leaveMeetingToken(path(), "secret");
    expect(await awaitMeetingToken(path(), FOREVER_MS)).to.equal("secret");
  });

  it("is waited for in a directory that is not there yet, and that the waiting does not make", async () => {
    const waiting = awaitMeetingToken(path(), FOREVER_MS);
    expect(readdirSync(dirname(path()))).to.deep.equal([]);
    make();
    leaveMeetingToken(path(), "secret");
    expect(await waiting).to.equal("secret");
  });

  it("is waited for where the directory is there already", async () => {
    make();
    const waiting = awaitMeetingToken(path(), FOREVER_MS);
    leaveMeetingToken(path(), "secret");
    expect(await waiting).to.equal("secret");
  });

  it("of a job that was killed is none; the one that comes in its place is", async () => {
    make(uniqueTag().replace(/^\d+-\d+/, "999999-1"));
    leaveMeetingToken(path(), "old");
    const waiting = awaitMeetingToken(path(), FOREVER_MS);
    rmSync(path(), { recursive: true });
    make();
    leaveMeetingToken(path(), "new");
    expect(await waiting).to.equal("new");
  });

  it("that does not come is an error, and nothing is left", async () => {
    await expectError("RANKCAST_COORDINATOR_UNREACHABLE", awaitMeetingToken(path(), 1));
    expect(existsSync(path())).to.equal(false);
  });

  it("in a directory that others may enter is an error at once", async () => {
    mkdirSync(path(), { recursive: true, mode: 0o700 });
    mkdirSync(join(path(), "..", "open"), { mode: 0o755 });
    const open = awaitMeetingToken(join(dirname(path()), "open"), FOREVER_MS);
    await expectError("RANKCAST_USAGE", open);
  });
});
