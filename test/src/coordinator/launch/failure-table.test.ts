/** Failures as files and as text, against what torch wrote and printed. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RankFailure } from "@rankcast/coordinator";
import { readErrorFile, recordFailure, renderFailureTable } from "@rankcast/coordinator/internal";
import { FormatError } from "@rankcast/core";
import { fromErrorRecord, toErrorRecord } from "@rankcast/core/internal";
import { expect } from "chai";
import { FIXTURES } from "../../support/fixtures.ts";

const TORCH_ERROR = join(FIXTURES, "launchers", "torch-1.13.1-error.json");

/** Local time of the recording, whatever the zone of this machine. */
function at(seconds: number): number {
  return new Date(2026, 10, 23, 18, 40, seconds).getTime();
}

function failure(fields: Partial<RankFailure>): RankFailure {
  return {
    ...{ rank: 0, localRank: 0, nodeRank: 0, host: "localhost", pid: 1, exitCode: 1, signal: null, failedMs: 0, failedUnixMs: at(0) },
    ...{ errorFile: null, message: "", error: null, blames: null },
    ...fields,
  };
}

describe("error files", () => {
  let folder = "";
  const path = () => join(folder, "error.json");
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "rankcast-test-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("are read as torch writes them", () => {
    const file = readErrorFile(TORCH_ERROR);
    expect(file?.message).to.match(/^Traceback \(most recent call last\):\n {2}File "t.py".*TypeError: bad shape\n$/s);
    expect(file).to.deep.include({ record: null, monotonicMs: null });
  });

  it("are written as torch reads them, with our record beside it", () => {
    const cause = new RangeError("underneath");
    const error = new FormatError("RANKCAST_LIMIT", "too long", {
      cause,
      details: { limit: "x", deep: [1, { a: null }] },
      remedy: "Shorten it.",
    });
    recordFailure(error, path());
    const content = JSON.parse(readFileSync(path(), "utf8"));
    expect(content.message.message).to.equal("FormatError: too long");
    expect(content.message.extraInfo.py_callstack).to.equal(error.stack);
    expect(content.message.extraInfo.timestamp).to.match(/^\d{10}$/);
    const file = readErrorFile(path());
    expect(file?.record).to.deep.equal(toErrorRecord(error));
    expect(file?.monotonicMs).to.be.closeTo(performance.now() + (Number(process.hrtime.bigint()) / 1e6 - performance.now()), 5000);
    const back = file?.record ? fromErrorRecord(file.record) : null;
    expect(back).to.be.instanceOf(FormatError);
    expect(back).to.have.nested.property("cause.message", "underneath");
  });

  it("keep whatever was thrown", () => {
    recordFailure("a string", path());
    expect(readErrorFile(path())?.record).to.deep.equal(toErrorRecord("a string"));
    const looped = new Error("loop");
    looped.cause = looped;
    recordFailure(looped, path());
    expect(readErrorFile(path())?.record?.message).to.equal("loop");
  });

  it("that cannot be written are no second error", () => {
    recordFailure(new Error("x"), join(folder, "no", "such", "folder.json"));
  });

  for (const text of ["", "{", "null", "[]", '{"message":7}', '{"message":{"extraInfo":null}}', '{"__proto__":{"message":"x"}}']) {
    it(`that say ${text || "nothing"} count as none`, () => {
      writeFileSync(path(), text);
      expect(readErrorFile(path())).to.equal(null);
    });
  }

  it("with a plain message are understood, as torch does", () => {
    writeFileSync(path(), '{"message":"CUDA error","timestamp":1}');
    expect(readErrorFile(path())?.message).to.equal("CUDA error");
    expect(readErrorFile(join(folder, "absent"))).to.equal(null);
  });
});

describe("failure table", () => {
  it("is torch's, character by character", () => {
    const root = failure({
      ...{ rank: 1, localRank: 1, pid: 16815, failedUnixMs: at(18) },
      ...{ errorFile: "/home/user/run/logs/none_abc/attempt_1/1/error.json", message: readErrorFile(TORCH_ERROR)?.message ?? "" },
    });
    const other = failure({
      ...{ rank: 2, localRank: 2, pid: 16816, exitCode: -9, signal: "SIGKILL", failedUnixMs: at(22) },
      message: "Signal 9 (SIGKILL) received by PID 16816",
    });
    const expected = readFileSync(join(FIXTURES, "launchers", "torch-1.13.1-failures.txt"), "utf8").trimEnd();
    expect(renderFailureTable("t.py", [other, root], root)).to.equal(expected);
  });

  it("is as narrow as its text, and says that nothing else failed", () => {
    const only = failure({ message: "x\u001b[2Jy", pid: null });
    const lines = renderFailureTable("a", [only], only).split("\n");
    expect(lines[0]).to.equal("=".repeat(33));
    expect(lines).to.include("  <NO_OTHER_FAILURES>");
    expect(lines.join("")).to.not.include("\u001b");
  });
});
