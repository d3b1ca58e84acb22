/** Replicas that other libraries hold, in the threads of a pool: loads and updates reach them whole, over the paths that every replica uses. */
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { adapterFixture, expectTorch } from "../worker/adapter/adapter-models.js";

const PROGRAM = fileURLToPath(new URL("programs/adapters.js", import.meta.url));
const BOUND_MS = 120_000;

interface Output {
  readonly digests: readonly string[];
  readonly generation: number;
  readonly answers: readonly (readonly (readonly number[])[])[];
  /** By replica. */
  readonly adopted: readonly (readonly string[])[];
}

describe("scenario: adapters", function () {
  this.timeout(BOUND_MS);
  const sandbox = commandSandbox();

  const run = async (library: string, env: Record<string, string>): Promise<Output> => {
    const { exitCode, stdout, stderr } = await sandbox().start([PROGRAM, adapterFixture("cnn.pt"), library], { env, timeoutMs: BOUND_MS })
      .ended;
    expect(exitCode, stderr).to.equal(0);
    expect(await sandbox().leftovers()).to.deep.equal([]);
    return JSON.parse(stdout) as Output;
  };

  const digests = new Set<string>();
  for (const [library, how, env] of [
    ["tensor-map", "mapped", {}],
    ["onnx", "mapped", {}],
    ["jax-js", "mapped", {}],
    ["tfjs", "mapped", {}],
    ["tfjs", "read into shared buffers", { RANKCAST_NO_MMAP: "1" }],
  ] as const) {
    it(`${library}, segments ${how}: torch's answers after the load and after updates there and back`, async () => {
      const output = await run(library, env);
      expect(output.generation).to.equal(5);
      for (const digest of output.digests) digests.add(digest);
      for (const [round, replicas] of output.answers.entries()) {
        expect(replicas).to.have.length(2);
        for (const answer of replicas) {
          if (round === 1 || round === 3) expect(answer).to.deep.equal(new Array(answer.length).fill(0));
          else expectTorch("cnn", answer);
        }
      }
    });
  }

  it("tfjs: weights published row-major are put into the library's order once, and every replica looks at them there", async () => {
    const { adopted } = await run("tfjs", {});
    const kernels = ["conv1.weight", "depth.weight", "point.weight"];
    for (const names of adopted) expect(names).to.include.members(kernels);
  });

  it("every library held the same bytes", () => {
    expect([...digests]).to.have.length(1);
  });
});
