/** Options that a call does not have are refused, and so is what a scheme's loader must not return: neither is passed over in silence. */
import {
  CheckpointLoader,
  convertCheckpoint,
  diffCheckpoints,
  downloadCheckpoint,
  explainLoad,
  inspectCheckpoint,
  type LoadProgress,
  loadCheckpoint,
  loadModelCheckpoint,
  loadStateDict,
  Module,
  openCheckpoint,
  Parameter,
  reviseKeys,
  StateDict,
  Tensor,
  verifyCheckpoint,
} from "@rankcast/core";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { FIXTURES } from "../../support/fixtures.ts";

const PATH = `${FIXTURES}accepted/torch-zip/minimal.pt`;
/** As a program in JavaScript may pass. */
type Anything = Record<string, never>;
const wrong = (options: Readonly<Record<string, unknown>>): Anything => options as Anything;

describe("options", () => {
  const calls: Readonly<Record<string, (options: Anything) => unknown>> = {
    loadCheckpoint: (options) => loadCheckpoint(PATH, options),
    "CheckpointLoader.loadCheckpoint": (options) => CheckpointLoader.loadCheckpoint(PATH, options),
    loadModelCheckpoint: (options) => loadModelCheckpoint(new Module(), PATH, options),
    openCheckpoint: (options) => openCheckpoint(PATH, options),
    inspectCheckpoint: (options) => inspectCheckpoint(PATH, options),
    convertCheckpoint: (options) => convertCheckpoint(PATH, "/nowhere/out.safetensors", options),
    diffCheckpoints: (options) => diffCheckpoints(PATH, PATH, options),
    verifyCheckpoint: (options) => verifyCheckpoint(PATH, options),
    explainLoad: (options) => explainLoad(PATH, options),
    downloadCheckpoint: (options) => downloadCheckpoint(PATH, options),
    loadStateDict: (options) => loadStateDict(new Module(), new StateDict(), options),
    reviseKeys: (options) => reviseKeys(new StateDict(), [], options),
  };

  for (const [call, run] of Object.entries(calls)) {
    it(`${call} refuses a name that it does not know`, async () => {
      const error = await expectError("RANKCAST_USAGE", () => run(wrong({ strickt: true })));
      expect(error.message).to.contain('no option "strickt"');
      expect(error.details).to.include({ option: "strickt" });
    });
  }

  it("loadCheckpoint says where revKeys belong", async () => {
    const error = await expectError("RANKCAST_USAGE", () => loadCheckpoint(PATH, wrong({ revKeys: [] })));
    expect(error.remedy).to.contain("reviseKeys(checkpoint.stateDict");
  });

  it("a misspelled name comes with the nearest one; one without a value is none", async () => {
    const error = await expectError("RANKCAST_USAGE", () => loadModelCheckpoint(new Module(), PATH, wrong({ revkeys: [] })));
    expect(error.remedy).to.equal("Did you mean revKeys?");
    await loadCheckpoint(PATH, wrong({ revKeys: undefined }));
    await expectError("RANKCAST_USAGE", () => loadCheckpoint(PATH, "cpu" as unknown as object));
  });

  it("values of a wrong type are refused", async () => {
    const model = new Module();
    model.registerParameter("w", Parameter.meta("float32", [1]));
    const given = new StateDict([["w", Tensor.from(new Float32Array(1), [1])]]);
    for (const options of [
      { strict: "false" },
      { defaultIgnores: 0 },
      { allowFloatToInt: "yes" },
      { measureCasts: 1 },
      { minMatched: "0.5" },
      { ignore: { missing: "w*" } },
      { ignore: { missed: ["w"] } },
      { assign: "sometimes" },
      { onMismatch: "warn" },
      { dtype: "float" },
    ]) {
      const [name = ""] = Object.keys(options);
      const error = await expectError("RANKCAST_USAGE", () => loadStateDict(model, given, wrong(options)));
      expect(error.message).to.contain(name);
    }
  });

  it("onProgress hears phases and bytes", async () => {
    const events: LoadProgress[] = [];
    const phases: string[] = [];
    await loadCheckpoint(PATH, { onProgress: (event) => events.push(event), onPhase: (phase) => phases.push(phase) });
    expect(phases).to.include.members(["resolving", "decoding", "reading"]);
    expect([...new Set(events.map(({ phase }) => phase))]).to.deep.equal([...new Set(phases)]);
    expect(events.at(-1)?.doneBytes).to.be.a("number");
  });
});

describe("loaders of schemes", () => {
  const tensor = Tensor.from(new Float32Array(1), [1]);
  for (const [what, returned, said] of [
    ["a path", "/weights.pt", "returned a string"],
    ["nothing", undefined, "returned undefined"],
    ["null", null, "returned null"],
    ["bytes", new Uint8Array(4), "returned a Uint8Array"],
    ["a Map of tensors", new Map([["w", tensor]]), "returned a Map"],
    ["an object of tensors", { w: tensor }, "returned an object that is no source of files"],
    ["half a source", { name: "x", entry: null, close: () => undefined }, "returned an object that is no source of files"],
    ["a state dict of arrays", new StateDict([["w", [1] as unknown as Tensor]]), 'a StateDict whose "w" is a Array'],
    ["a state dict of numbered keys", new StateDict([[1 as unknown as string, tensor]]), 'whose key "1" is no string'],
  ] as const) {
    it(`A8: one that returns ${what} is refused by name`, async () => {
      using _ = CheckpointLoader.registerScheme("wrong://", async () => returned as unknown as StateDict);
      for (const load of [() => loadCheckpoint("wrong://x"), () => loadModelCheckpoint(new Module(), "wrong://x")]) {
        const error = await expectError("RANKCAST_SCHEME_RESULT", load());
        expect(error.message).to.contain('the loader of "wrong://"').and.to.contain(said);
        expect(error.class).to.equal("usage");
      }
    });
  }

  it("A8: one that hands over through context.resolve works, to any depth that ends", async () => {
    using _ = CheckpointLoader.registerScheme("lab://", (uri, context) => context.resolve(uri.slice("lab://".length)));
    expect((await loadCheckpoint(`lab://${PATH}`)).format).to.equal("torch-zip");
  });

  it("F17: extra state of a state dict that a scheme makes goes along", async () => {
    using _ = CheckpointLoader.registerScheme("made://", () => {
      const made = new StateDict([["w", tensor]]);
      made.extraState.set("_extra_state", { margin: 1, scale: [tensor] });
      return made;
    });
    const model = new Module();
    model.registerParameter("w", Parameter.meta("float32", [1]));
    let state: unknown;
    model.getExtraState = () => state;
    model.setExtraState = (next) => {
      state = next;
    };
    await loadModelCheckpoint(model, "made://x", { strict: true });
    expect(state).to.be.instanceOf(Map).and.to.have.all.keys("margin", "scale");
  });
});

describe("onCollision", () => {
  it('B6: "last" keeps the last of two keys that get one name, in a load as in reviseKeys; anything else is refused', async () => {
    using _ = CheckpointLoader.registerScheme("twice://", () => {
      const of = (value: number): Tensor => Tensor.from(Float32Array.of(value), [1]);
      return new StateDict([
        ["w", of(1)],
        ["module.w", of(2)],
      ]);
    });
    const model = new Module();
    model.registerParameter("w", Parameter.meta("float32", [1]));
    await expectError("RANKCAST_REV_KEY_COLLISION", loadModelCheckpoint(model, "twice://x"));
    await loadModelCheckpoint(model, "twice://x", { onCollision: "last", strict: true });
    expect([...(model.stateDict().get("w")?.toFloat32Array() ?? [])]).to.deep.equal([2]);
    await expectError("RANKCAST_USAGE", loadModelCheckpoint(model, "twice://x", { onCollision: "first" as "last" }));
  });
});
