/** saveTorch: what lies beside the tensors, written and read again. */
import { join } from "node:path";
import { ComplexValue, KeyTuple, loadCheckpoint, StateDict, saveTorch, Tensor } from "@rankcast/core";
import { expect } from "chai";
import { temporaryDirectory } from "../../support/temporary-directory.js";

describe("saveTorch: values beside the tensors", () => {
  const directory = temporaryDirectory();

  it("come back: bytes, complex numbers, sets, tuples as keys, what is shared and what is cyclic", async () => {
    const path = join(directory(), "values.pt");
    const stateDict = new StateDict([["w", Tensor.from(Float32Array.of(1), [1])]]);
    const shared = [1, 2];
    const cyclic: unknown[] = [shared];
    const map = new Map<unknown, unknown>([["self", cyclic]]);
    cyclic.push(cyclic, map);
    stateDict.extraState
      .set(
        "bytes._extra_state",
        Uint8Array.from({ length: 256 }, (_, value) => value),
      )
      .set("none._extra_state", { bytes: new Uint8Array(0), absent: undefined, null: null })
      .set("complex._extra_state", new ComplexValue(1.5, -0))
      .set("set._extra_state", new Set(["a", 2]))
      .set(
        "keys._extra_state",
        new Map<unknown, number>([
          [new KeyTuple(["a", 1, new KeyTuple([])]), 1],
          [null, 2],
          [true, 3],
        ]),
      )
      .set("cyclic._extra_state", cyclic)
      .set("again._extra_state", shared);
    await saveTorch(path, stateDict);
    await using loaded = await loadCheckpoint(path);
    const found = new Map(
      [...loaded.stateDict.extraState].map(([key, value]): [string, unknown] => [key.replace("._extra_state", ""), value]),
    );
    expect(found.get("bytes")).to.deep.equal(stateDict.extraState.get("bytes._extra_state"));
    expect([...(found.get("none") as Map<string, unknown>)]).to.deep.equal([
      ["bytes", new Uint8Array(0)],
      ["absent", null],
      ["null", null],
    ]);
    expect(found.get("complex")).to.include({ re: 1.5, im: -0 });
    expect(found.get("set")).to.deep.equal(["a", 2]);
    const keys = [...(found.get("keys") as Map<unknown, number>)];
    expect((keys[0]?.[0] as KeyTuple | undefined)?.text).to.equal(new KeyTuple(["a", 1, new KeyTuple([])]).text);
    expect(keys.slice(1)).to.deep.equal([
      [null, 2],
      [true, 3],
    ]);
    const [inner, self, back] = found.get("cyclic") as [unknown, unknown, Map<string, unknown>];
    expect(self).to.equal(found.get("cyclic"));
    expect(back.get("self")).to.equal(self);
    expect(inner).to.equal(found.get("again"));
  });
});
