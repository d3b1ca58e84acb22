/** Meeting directories: private, made by owners only, gone with them. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { isAbandoned, isMeetingDirectory, livingOwner, meetingName, meetingPath, ownDirectory, uniqueTag } from "@rankcast/core/runtime";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

/** The name of a process that has ended for certain. */
const deadTag = (): string => uniqueTag().replace(/^\d+-\d+/, "999999-1");

/** Fields of `/proc/<pid>/stat` behind the name. */
const statOf = (pid: number): string[] =>
  readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
const stateOf = (pid: number): string | undefined => statOf(pid)[0];
const startTimeOf = (pid: number): string | undefined => statOf(pid)[19];

describe("meeting directories", () => {
  const directory = temporaryDirectory();
  const pathOf = (name: string): string => meetingPath(directory(), name);

  it("have short names that follow from what all processes know", () => {
    expect(meetingName(["job", 1])).to.match(/^[0-9a-f]{16}$/);
    expect(meetingName(["job", 1])).to.equal(meetingName(["job", 1]));
    expect(new Set([meetingName(["a", "b"]), meetingName(["ab"]), meetingName(["a,b"])]).size).to.equal(3);
  });

  it("are not made by looking for them", () => {
    expect(isMeetingDirectory(pathOf("job"))).to.equal(false);
    expect(readdirSync(directory())).to.deep.equal([]);
  });

  it("are entered by this user only, and gone when their owner leaves", () => {
    const owned = ownDirectory(pathOf("job"));
    expect(statSync(owned.path).mode & 0o777).to.equal(0o700);
    expect(isMeetingDirectory(owned.path)).to.equal(true);
    expect(isAbandoned(owned.path)).to.equal(false);
    owned.leave();
    owned.leave();
    expect(existsSync(owned.path)).to.equal(false);
  });

  it("lose what an owner before has left there, and are not taken away by it", () => {
    const first = ownDirectory(pathOf("job"));
    writeFileSync(join(first.path, "token"), "old");
    const second = ownDirectory(pathOf("job"));
    expect(existsSync(join(second.path, "token"))).to.equal(false);
    writeFileSync(join(second.path, "token"), "new");
    first.leave();
    expect(existsSync(join(second.path, "token"))).to.equal(true);
    second.leave();
  });

  it("of the dead are known, and removed by the next owner of any other", () => {
    const dead = pathOf("dead");
    mkdirSync(dead, { recursive: true, mode: 0o700 });
    expect(isAbandoned(dead), "nobody's yet").to.equal(false);
    writeFileSync(join(dead, `owner-${deadTag()}`), "");
    expect(isAbandoned(dead)).to.equal(true);
    ownDirectory(pathOf("job")).leave();
    expect(existsSync(dead)).to.equal(false);
  });

  it("of another process that lives are known by it, not those of this process, of the dead, or of one that only waits to be looked at", async function () {
    if (process.platform !== "linux") this.skip();
    const path = pathOf("job");
    expect(livingOwner(path), "not there").to.equal(null);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const own = (tag: string): void => {
      for (const name of readdirSync(path)) rmSync(join(path, name));
      writeFileSync(join(path, `owner-${tag}`), "");
    };
    own(uniqueTag());
    expect(livingOwner(path), "this process").to.equal(null);
    own(deadTag());
    expect(livingOwner(path), "the dead").to.equal(null);
    // A shell that becomes a program which never looks after its child.
    const parent = spawn("/bin/sh", ["-c", "true & echo $!; read -r go; exec sleep 600"], { stdio: ["pipe", "pipe", "ignore"] });
    try {
      const tagOf = (pid: number): string => uniqueTag().replace(/^\d+-\d+/, `${pid}-${startTimeOf(pid)}`);
      own(tagOf(parent.pid ?? 0));
      expect(livingOwner(path), "another").to.equal(parent.pid);
      const [line] = (await once(parent.stdout, "data")) as [Buffer];
      const child = Number(line.toString());
      while (stateOf(child) !== "Z") await setImmediate();
      own(tagOf(child));
      expect(livingOwner(path), "ended").to.equal(null);
    } finally {
      parent.kill("SIGKILL");
    }
  });

  it("that others may enter are refused, whether one looks or makes them", async () => {
    const path = pathOf("job");
    mkdirSync(path, { recursive: true, mode: 0o700 });
    for (const open of [path, join(path, "..")]) {
      chmodSync(open, 0o755);
      await expectError("RANKCAST_USAGE", () => isMeetingDirectory(path));
      await expectError("RANKCAST_USAGE", () => ownDirectory(path));
      chmodSync(open, 0o700);
    }
  });

  it("that cannot be made are an error, also below /proc, where Node's own recursive mkdir does not return", async () => {
    writeFileSync(join(directory(), "file"), "");
    for (const place of [join(directory(), "file"), ...(existsSync("/proc/self") ? ["/proc/x"] : [])]) {
      const error = await expectError("RANKCAST_USAGE", () => ownDirectory(meetingPath(place, "job")));
      expect(error.message).to.contain(place);
    }
  });
});
