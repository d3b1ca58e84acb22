/**
 * Extra state of modules from files that torch wrote (test/fixtures-extra-state, made by test/torch/make_extra_state.py with torch 1.13 and 2.13),
 * against what torch itself hands to `set_extra_state`.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  type Checkpoint,
  compileLimits,
  DEFAULT_LIMITS,
  loadCheckpoint,
  loadModelCheckpoint,
  loadStateDict,
  Module,
  moduleFromStateDict,
  type OpaqueValue,
  Parameter,
  StateDict,
  Storage,
  Tensor,
  type TreeDict,
  type TreeList,
} from "@rankcast/core";
import {
  bindStateDict,
  copyInto,
  decodeManifest,
  encodeManifest,
  examineStateDict,
  manifestFromStateDict,
  openWeights,
} from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { plain, plainStates, Stateful, StatefulModel } from "../../support/stateful-model.ts";

const FOLDER = fileURLToPath(new URL("../../../fixtures-extra-state/", import.meta.url));

interface Recording {
  readonly torch: string;
  readonly states: Readonly<Record<string, unknown>>;
}

function statesOf({ extraState }: StateDict): Map<string, unknown> {
  return new Map([...extraState].map(([key, state]) => [key.replace(/^module\.|\._extra_state$/g, ""), state]));
}

for (const version of ["1.13", "2.13"]) {
  const recorded = JSON.parse(readFileSync(`${FOLDER}torch-${version}.json`, "utf8")) as Recording;
  const names = Object.keys(recorded.states);

  for (const kind of ["", ".legacy"]) {
    const path = `${FOLDER}torch-${version}${kind}.pt`;

    describe(`extra state of torch ${version}${kind}`, () => {
      it("F17: modules get what torch gives them", async () => {
        const model = new StatefulModel(names);
        const report = await loadModelCheckpoint(model, path, { strict: true });
        expect(plainStates(model.states)).to.deep.equal(recorded.states);
        expect([report.replica.matched, report.replica.renamed]).to.deep.equal([2 * names.length, 2 * names.length]);
      });

      it("F17: what is shared stays shared", async () => {
        const model = new StatefulModel(names);
        await loadModelCheckpoint(model, path);
        const [one, two] = [model.states.get("one"), model.states.get("two")] as Map<string, unknown>[];
        const [row] = model.states.get("list") as Tensor[];
        expect(two?.get("same")).to.equal(one);
        expect(two?.get("again")).to.equal(one?.get("scale"));
        expect(one?.get("scale")).to.have.property("storage", row?.storage);
      });

      it("F17: objects stay opaque, and can be looked into", async () => {
        const model = new StatefulModel(names);
        await loadModelCheckpoint(model, path);
        const { state } = model.states.get("object") as OpaqueValue;
        const fields = (state as TreeDict).entries;
        expect(fields.get("margin")).to.equal(2);
        expect((fields.get("names") as TreeList).elements).to.deep.equal(["e4m3", "e5m2"]);
        expect(fields.get("scale")).to.deep.include({ dtype: "float32", shape: [2], stride: [1], storageOffset: 0 });
        expect(fields.get("scale")).to.have.nested.property("storage.meta", true);
        const stream = (model.states.get("stream") as Map<string, OpaqueValue>).get("state");
        const saved = [...(stream?.args ?? []), ...((stream?.state as TreeList | null)?.elements ?? [])];
        expect(
          saved.filter((each) => each instanceof Uint8Array).map((each) => Buffer.from(each as Uint8Array).toString("latin1")),
        ).to.deep.equal(["\0pickled by an older release\xff"]);
      });

      it("F17: where no module takes it, one key each is unexpected", async () => {
        const model = new Module();
        for (const name of names) {
          const part = new Module();
          part.registerParameter("weight", Parameter.meta("float32", [4]));
          model.registerModule(name, part);
        }
        const { replica } = await loadModelCheckpoint(model, path);
        expect(replica.unexpected).to.have.members(names.map((name) => `${name}._extra_state`));
        expect(replica.missing).to.deep.equal([]);
        await loadModelCheckpoint(model, path, { strict: true, ignore: { unexpected: ["*_extra_state"] } });
      });

      it("F17: it is in the state dict of loadCheckpoint, and is what the tree holds", async () => {
        const { stateDict, tree }: Checkpoint = await loadCheckpoint(path);
        const { tensor, ...others } = recorded.states;
        expect(plain(stateDict.get("module.tensor._extra_state"))).to.deep.equal(tensor);
        expect(plainStates(statesOf(stateDict))).to.deep.equal(others);
        expect([...stateDict.keys()]).to.have.members([...names.map((name) => `module.${name}.weight`), "module.tensor._extra_state"]);
        const held = (tree as Map<string, Map<string, unknown>>).get("state_dict")?.get("module.one._extra_state");
        expect(stateDict.extraState.get("module.one._extra_state")).to.equal(held);
      });

      it("F17: a part of the state dict has its own, and a part of it is tensors", async () => {
        const fp8 = new Stateful();
        await loadModelCheckpoint(fp8, path, { subtree: "module.fp8", strict: true });
        expect(plain(fp8.state)).to.deep.equal(recorded.states["fp8"]);
        const { stateDict } = await loadCheckpoint(path, { subtree: "module.one._extra_state" });
        expect([...stateDict.keys()]).to.deep.equal(["scale"]);
      });

      it("F17: the model made from the checkpoint holds it, and gives it on", async () => {
        const { stateDict } = await loadCheckpoint(path, { subtree: "module" });
        const model = moduleFromStateDict(stateDict);
        expect(plainStates(statesOf(model.stateDict()))).to.deep.equal(plainStates(statesOf(stateDict)));
        const { manifest, tensors } = manifestFromStateDict(model.stateDict());
        const storages = manifest.storages.map(({ nbytes }, index) => {
          const at = manifest.tensors.findIndex(({ storage }) => storage === index);
          const { dtype = "uint8", shape = [], stride = [] } = manifest.tensors[at] ?? {};
          const filled = new Tensor({ dtype, shape, stride, storage: Storage.allocate(nbytes) });
          copyInto(filled, tensors[at] ?? filled);
          return filled.storage;
        });
        const sent = bindStateDict(decodeManifest(encodeManifest(manifest), DEFAULT_LIMITS), storages);
        expect([...sent.keys()]).to.deep.equal([...stateDict.keys()]);
        expect(plainStates(statesOf(sent))).to.deep.equal(plainStates(statesOf(stateDict)));
      });
    });
  }
}

describe("extra state", () => {
  const path = `${FOLDER}torch-2.13.pt`;

  it("is bounded by extraStateValues, when it is read and when it is received", async () => {
    const load = loadModelCheckpoint(new StatefulModel([]), path, { limits: { extraStateValues: 40 } });
    expect((await expectError("RANKCAST_LIMIT", load)).details).to.include({ limit: "extraStateValues", allowed: 40 });
    const { manifest, close } = await openWeights(path);
    await close();
    await expectError("RANKCAST_LIMIT", () => decodeManifest(encodeManifest(manifest), compileLimits({ extraStateValues: 40 })));
  });

  it("that cannot leave the process is refused by name", () => {
    for (const [what, value] of [
      ["a function", () => 1],
      ["a Date", [new Date()]],
      ["a container as key of a Map", new Map([[[1], 2]])],
    ] as const) {
      const stateDict = new StateDict();
      stateDict.extraState.set("fp8._extra_state", value);
      expect(() => manifestFromStateDict(stateDict))
        .to.throw(`"fp8._extra_state" holds ${what}`)
        .with.property("code", "RANKCAST_SAVE_VALUE");
    }
  });

  it("F3, F8: what lies beside the tensors is unexpected, or no tensor where one is expected", () => {
    const given = new StateDict([["w", Tensor.from(new Float32Array(2), [2])]]);
    given.extraState.set("epoch", 3);
    given.extraState.set("b", [1]);
    const model = new Module();
    for (const name of ["w", "b"]) model.registerParameter(name, Parameter.meta("float32", [2]));
    const { report } = examineStateDict(model, given);
    expect(report.unexpected).to.deep.equal(["epoch"]);
    expect(report.missing).to.deep.equal([]);
    expect(report.errors.map(({ message }) => message)).to.deep.equal([
      'While copying the parameter named "b", expected torch.Tensor or Tensor-like object from checkpoint but received Array',
    ]);
    const own = moduleFromStateDict(given);
    expect(loadStateDict(own, given, { strict: true })).to.deep.include({ matched: 1, unexpected: [], missing: [] });
  });
});
