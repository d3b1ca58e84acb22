/**
 * Whose memory a parameter has after a load: every `assign` with every kind of parameter and every kind of tensor in the checkpoint. What is
 * expected is written out as the documentation has it, not as the plan computes it.
 */
import { type LoadStateDictOptions, loadStateDict, Module, Parameter, StateDict, Storage, Tensor } from "@rankcast/core";
import { expect } from "chai";
import { ramp, typed } from "./models.ts";

const SHAPE = [2, 3];
const VALUES = [1, 2, 3, 4, 5, 6];

/** What a slot may hold before. */
const HELD = {
  "without memory": () => Parameter.meta("float32", SHAPE),
  "with memory of its own": () => new Parameter(ramp(SHAPE, 50)),
  "with memory of its own, in another order": () => new Parameter(transposed(ramp([6], 50).storage)),
} as const;

/** What the checkpoint may have: always the same values. */
const GIVEN = {
  "as declared": () => typed("float32", Float32Array.from(VALUES), SHAPE),
  "in another order": () => transposed(typed("float32", Float32Array.of(1, 4, 2, 5, 3, 6), [6]).storage),
  "of another type": () => typed("float64", Float64Array.from(VALUES), SHAPE),
  "at an odd address": () => {
    const storage = Storage.allocate(25);
    storage.bytes(1).set(new Uint8Array(Float32Array.from(VALUES).buffer));
    return new Tensor({ dtype: "float32", shape: SHAPE, storage: new Storage(storage.buffer, 1, 24) });
  },
} as const;

type Held = keyof typeof HELD;
type Given = keyof typeof GIVEN;
type Memory = "checkpoint's" | "its own as before" | "new";

function transposed(storage: Storage): Tensor {
  return new Tensor({ dtype: "float32", shape: SHAPE, stride: [1, 2], storage });
}

/** Whose memory the parameter has to have. */
function expectedMemory(assign: "auto" | "always" | "never", held: Held | "borrowed", given: Given): Memory {
  const owns = held.startsWith("with memory");
  const written: Memory = owns ? "its own as before" : "new";
  // A view can show neither another type nor an odd address.
  if (assign === "never" || given === "of another type" || given === "at an odd address") return written;
  if (assign === "always") return "checkpoint's";
  // A parameter without memory declares row-major, and so does one that holds a row-major checkpoint's.
  return owns || given === "in another order" ? written : "checkpoint's";
}

function memoryOf(parameter: Parameter, before: Storage, source: Tensor): Memory {
  if (parameter.tensor.storage.buffer === source.storage.buffer) return "checkpoint's";
  return parameter.tensor.storage === before ? "its own as before" : "new";
}

function load(model: Module, tensor: Tensor, options: LoadStateDictOptions): Parameter {
  loadStateDict(model, new StateDict([["w", tensor]]), { strict: true, ...options });
  return model.ownParameters.get("w") as Parameter;
}

function modelOf(parameter: Parameter): Module {
  const model = new Module();
  model.registerParameter("w", parameter);
  return model;
}

describe("assign, with every parameter and every tensor", () => {
  for (const assign of ["auto", "always", "never"] as const) {
    for (const held of Object.keys(HELD) as Held[]) {
      for (const given of Object.keys(GIVEN) as Given[]) {
        const memory = expectedMemory(assign, held, given);
        it(`${assign}: a parameter ${held} gets a tensor ${given}: memory is ${memory}`, () => {
          const model = modelOf(HELD[held]());
          const before = (model.ownParameters.get("w") as Parameter).tensor.storage;
          const source = GIVEN[given]();
          const parameter = load(model, source, { assign });
          expect(parameter.dtype).to.equal("float32");
          expect([...parameter.tensor.toFloat32Array()]).to.deep.equal(VALUES);
          expect(memoryOf(parameter, before, source)).to.equal(memory);
          // The optimiser's references stay good: the parameter is the same object, whatever memory it has.
          expect(model.ownParameters.get("w")).to.equal(parameter);
        });
      }
    }

    for (const given of Object.keys(GIVEN) as Given[]) {
      const memory = expectedMemory(assign, "borrowed", given);
      it(`${assign}: a parameter that looks at an earlier checkpoint, and was written, gets a tensor ${given}: memory is ${memory}`, () => {
        const model = modelOf(HELD["without memory"]());
        const first = GIVEN["as declared"]();
        const earlier = load(model, first, { assign: "auto" }).tensor;
        earlier.storage.bytes().fill(9);
        const source = GIVEN[given]();
        const parameter = load(model, source, { assign });
        expect([...parameter.tensor.toFloat32Array()]).to.deep.equal(VALUES);
        expect(memoryOf(parameter, earlier.storage, source)).to.equal(memory);
        // What is not the model's own is never written by a load (law L4).
        expect([...first.storage.bytes()].every((byte) => byte === 9)).to.equal(true);
      });
    }
  }
});
