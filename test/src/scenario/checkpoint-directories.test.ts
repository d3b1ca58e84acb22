/** Directories that are one checkpoint, through the real command line: inspect, load and convert agree about every tensor. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { FIXTURES } from "../support/fixtures.js";

const ZERO = fileURLToPath(new URL("../../fixtures-zero/", import.meta.url));

interface Inspected {
  readonly format: string;
  readonly tensors: readonly { readonly name: string; readonly sha256: string | null }[];
}

describe("scenario: checkpoints that are directories", function () {
  this.timeout(120_000);
  const sandbox = commandSandbox();
  const json = async <T>(...args: string[]): Promise<T> => {
    const result = await sandbox().run([...args, "--json"]);
    expect(result.exitCode, result.stderr).to.equal(0);
    return JSON.parse(result.stdout) as T;
  };
  const digests = ({ tensors }: Inspected): Record<string, string | null> =>
    Object.fromEntries(tensors.map(({ name, sha256 }) => [name, sha256]));

  for (const [format, path] of [
    ["dcp", `${FIXTURES}accepted/dcp/two_rank`],
    ["zero", `${ZERO}zero2`],
    ["zero", `${ZERO}zero3`],
  ] as const) {
    it(`${format}: ${path.split("/").at(-1)}`, async () => {
      const whole = await json<Inspected>("inspect", path, "--digest");
      expect(whole.format).to.equal(format);
      const tensors = Object.keys(digests(whole));
      expect(tensors).to.have.length.above(0);

      const target = join(sandbox().directory, "converted.safetensors");
      await json("convert", path, target);
      const converted = await json<Inspected>("inspect", target, "--digest");
      const selected = await json<Inspected>("inspect", path, "--digest", "--state-dict");
      expect(digests(converted)).to.deep.equal(digests(selected));

      const loaded = await json<{ readonly ok?: boolean }>("load", path, "--nproc-per-node", "2");
      expect(JSON.stringify(loaded)).to.contain('"weights"');
    });
  }
});
