/** A directory of its own for each test, gone afterwards. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Registers hooks in the surrounding `describe`; the returned function gives the current test's directory. */
export function temporaryDirectory(): () => string {
  let directory = "";
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "rankcast-test-"));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));
  return () => directory;
}
