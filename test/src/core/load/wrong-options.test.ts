/** Options and arguments of wrong types, as programs in plain JavaScript pass them: a typed error that names the option, before any work. */
import {
  CheckpointError,
  convertCheckpoint,
  diffCheckpoints,
  downloadCheckpoint,
  explainLoad,
  inspectCheckpoint,
  loadCheckpoint,
  loadFromHttp,
  loadModelCheckpoint,
  loadStateDict,
  Module,
  ModuleWrapper,
  openCheckpoint,
  Parameter,
  reviseKeys,
  StateDict,
  saveSafetensors,
  saveTorch,
  Tensor,
  verifyCheckpoint,
} from "@rankcast/core";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.js";
import { FIXTURES } from "../../support/fixtures.js";

const CHECKPOINT = `${FIXTURES}accepted/torch-zip/state_dict_t213.pt`;
const WRONG = [0, -1, 1.5, Number.NaN, "zzz", true, {}, [], Symbol("s"), 10n, new Date(), new Map(), Object.create(null)];

/** What of `WRONG` each option takes; texts, tables and functions are judged where they are used. */
const TAKES: ReadonlyMap<string, (value: unknown) => boolean> = new Map([
  ...["select", "subtree", "cacheDir", "sha256"].map((name) => [name, (value: unknown) => typeof value === "string"] as const),
  ...["offline", "immutable", "verify"].map((name) => [name, (value: unknown) => typeof value === "boolean"] as const),
  ...["signal", "onPhase", "onBytes", "onProgress", "fetch"].map((name) => [name, () => false] as const),
  ["schemes", (value) => Array.isArray(value)],
  ...["headers", "limits", "tables"].map(
    (name) =>
      [
        name,
        (value: unknown) => typeof value === "object" && !Array.isArray(value) && !(value instanceof Map || value instanceof Date),
      ] as const,
  ),
]);

// biome-ignore lint/suspicious/noExplicitAny: these tests stand for programs without types.
type Untyped = any;

const READERS = new Map<string, (options: Untyped) => Promise<unknown>>([
  ["loadCheckpoint", (options) => loadCheckpoint(CHECKPOINT, options)],
  ["loadModelCheckpoint", (options) => loadModelCheckpoint(new Module(), CHECKPOINT, options)],
  ["openCheckpoint", (options) => openCheckpoint(CHECKPOINT, options)],
  ["inspectCheckpoint", (options) => inspectCheckpoint(CHECKPOINT, options)],
  ["verifyCheckpoint", (options) => verifyCheckpoint(CHECKPOINT, options)],
  ["explainLoad", (options) => explainLoad(CHECKPOINT, options)],
  ["downloadCheckpoint", (options) => downloadCheckpoint(CHECKPOINT, options)],
  ["diffCheckpoints", (options) => diffCheckpoints(CHECKPOINT, CHECKPOINT, options)],
  ["convertCheckpoint", (options) => convertCheckpoint(CHECKPOINT, "/nowhere/at/all.safetensors", options)],
]);

describe("wrong options", () => {
  for (const [name, read] of READERS) {
    it(`${name} names the option that is wrong`, async () => {
      for (const options of [null, 3, "x", []]) await expectError("RANKCAST_USAGE", () => read(options));
      for (const [option, takes] of TAKES) {
        for (const value of WRONG.filter((each) => !takes(each))) {
          const { message } = await expectError("RANKCAST_USAGE", () => read({ [option]: value }));
          expect(message).to.match(new RegExp(`^${option} must be `));
        }
      }
    });
  }

  it("options of a load into a module are checked before anything is read", async () => {
    const wrong = {
      strict: "false",
      ignore: { missing: "x" },
      defaultIgnores: 1,
      minMatched: "1",
      into: 3,
      allocate: {},
      castOf: 1,
      dtype: 10n,
    };
    for (const [option, value] of Object.entries(wrong)) {
      const { message } = await expectError("RANKCAST_USAGE", () =>
        loadModelCheckpoint(new Module(), "/no/such.pt", { [option]: value } as Untyped),
      );
      expect(message).to.contain(option);
    }
    for (const model of [null, undefined, {}, 3, "x"]) {
      await expectError("RANKCAST_USAGE", () => loadModelCheckpoint(model as Untyped, CHECKPOINT));
      await expectError("RANKCAST_USAGE", () => loadStateDict(model as Untyped, new StateDict()));
    }
  });

  it("a module takes parameters, tensors and modules only", async () => {
    const module = new Module() as Untyped;
    const tensor = Tensor.from(Float32Array.of(1), [1]);
    for (const value of [3, "x", {}, undefined, tensor]) await expectError("RANKCAST_USAGE", () => module.registerParameter("a", value));
    for (const value of [3, "x", {}, undefined]) {
      await expectError("RANKCAST_USAGE", () => module.registerBuffer("a", value));
      await expectError("RANKCAST_USAGE", () => module.registerModule("a", value));
      await expectError("RANKCAST_USAGE", () => new ModuleWrapper(value as Untyped));
      await expectError("RANKCAST_USAGE", () => new Parameter(value as Untyped));
      await expectError("RANKCAST_USAGE", () => Parameter.meta("float32", (value ?? 1) as Untyped));
      await expectError("RANKCAST_USAGE", () => Tensor.from(Float32Array.of(1), value as Untyped));
    }
    for (const name of [3, null, undefined]) await expectError("RANKCAST_USAGE", () => module.registerBuffer(name, tensor));
    expect([...module.ownParameters.keys(), ...module.ownBuffers.keys(), ...module.ownChildren.keys()]).to.deep.equal([]);
  });

  it("writers and renaming refuse what is no state dict, and paths that are none", async () => {
    for (const value of [null, {}, [], 3, "x"] as Untyped[]) {
      await expectError("RANKCAST_STATE_DICT_TYPE", () => saveSafetensors("/nowhere/a", value));
      await expectError("RANKCAST_STATE_DICT_TYPE", () => saveTorch("/nowhere/a", value));
      await expectError("RANKCAST_STATE_DICT_TYPE", () => reviseKeys(value));
    }
    for (const path of [null, {}, 3] as Untyped[]) {
      await expectError("RANKCAST_USAGE", () => saveSafetensors(path, new StateDict()));
      await expectError("RANKCAST_USAGE", () => saveTorch(path, new StateDict()));
    }
    // A rejection, not an exception that no `.catch` sees.
    const rejected = loadFromHttp("ftp://x");
    expect(await rejected.catch((error: unknown) => error)).to.be.instanceOf(CheckpointError);
  });
});
