/** TensorFlow.js models hold what torch saved and compute what torch computed; they give it back unchanged. */
import { loadCheckpoint, loadModelCheckpoint, loadStateDict, StateDict, Storage, Tensor } from "@rankcast/core";
import { fromTfjs, TfjsModule, TfjsVariables } from "@rankcast/worker/tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { layers, type Sequential, sequential } from "@tensorflow/tfjs-layers";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.js";
import { adapterFixture, expectedOf, expectTorch, transposed } from "./adapter-models.js";
import { tfjsCnn, tfjsMlp } from "./tfjs-models.js";

const IMAGE_LAST = [0, 2, 3, 1];

function predict(
  model: Sequential,
  { shape, data }: { readonly shape: readonly number[]; readonly data: ArrayLike<number> },
): Float32Array {
  return tf.tidy(() => (model.predict(tf.tensor(Float32Array.from(data), [...shape])) as tf.Tensor).dataSync() as Float32Array);
}

type Layer = Parameters<Sequential["add"]>[0];

/** One layer in a model, fed and read with its channels last. */
function layerModel(layer: Layer): Sequential {
  return sequential({ layers: [layer] });
}

describe("adapter: tfjs", () => {
  before(async () => {
    await tf.setBackend("cpu");
  });

  it("an MLP that torch saved computes what torch computed", async () => {
    const model = new TfjsModule(tfjsMlp());
    const report = await loadModelCheckpoint(model, adapterFixture("mlp.pt"), { strict: true });
    expect(report.ranks[0]?.replicas[0]).to.include({ matched: 8, copied: 0, adopted: 8 });
    expectTorch("mlp", predict(model.model, expectedOf("mlp").inputs));
  });

  it("a CNN does: convolutions, batch normalisation, pooling, an image flattened in another order", async () => {
    const model = new TfjsModule(tfjsCnn());
    await loadModelCheckpoint(model, adapterFixture("cnn.pt"), { strict: true });
    const outputs = predict(model.model, transposed(expectedOf("cnn").inputs, IMAGE_LAST));
    expectTorch("cnn", outputs);
  });

  it("other layers do", async () => {
    const { stateDict, close } = await loadCheckpoint(adapterFixture("layers.pt"));
    const cases: [string, Layer, number[] | null, number[] | null][] = [
      ["conv1d", layers.conv1d({ name: "conv1d", filters: 4, kernelSize: 3, inputShape: [9, 3] }), [0, 2, 1], [0, 2, 1]],
      ["conv3d", layers.conv3d({ name: "conv3d", filters: 3, kernelSize: 2, inputShape: [4, 5, 3, 2] }), [0, 2, 3, 4, 1], [0, 4, 1, 2, 3]],
      [
        "transposed",
        layers.conv2dTranspose({ name: "transposed", filters: 2, kernelSize: 3, strides: 2, inputShape: [4, 5, 3] }),
        IMAGE_LAST,
        [0, 3, 1, 2],
      ],
      ["embedding", layers.embedding({ name: "embedding", inputDim: 11, outputDim: 4, inputLength: 3 }), null, null],
      ["norm", layers.layerNormalization({ name: "norm", epsilon: 1e-5, inputShape: [6] }), null, null],
      ["prelu", layers.prelu({ name: "prelu", inputShape: [5] }), null, null],
    ];
    for (const [name, layer, inAxes, outAxes] of cases) {
      const model = new TfjsModule(layerModel(layer));
      const own = new StateDict([...stateDict].filter(([key]) => key.startsWith(`${name}.`)));
      loadStateDict(model, own, { strict: true });
      const { inputs, outputs } = expectedOf(name);
      const raw = predict(model.model, inAxes ? transposed(inputs, inAxes) : inputs);
      const shape = inAxes && outAxes ? transposed(outputs, inAxes).shape : outputs.shape;
      expectTorch(name, outAxes ? transposed({ shape, data: [...raw] }, outAxes).data : raw);
    }
    await close();
  });

  it("the same on a backend with memory of its own, over updates", async () => {
    await import("@tensorflow/tfjs-backend-wasm");
    expect(await tf.setBackend("wasm")).to.equal(true);
    try {
      const images = transposed(expectedOf("cnn").inputs, IMAGE_LAST);
      const model = new TfjsModule(tfjsCnn());
      for (let turn = 0; turn < 3; turn += 1) {
        await loadModelCheckpoint(model, adapterFixture("cnn.pt"), { strict: true });
        expectTorch("cnn", predict(model.model, images));
        const state = model.stateDict();
        const zeros = [...state].map(
          ([key, { dtype, elementCount, shape }]) =>
            [key, Tensor.from(dtype === "int64" ? new BigInt64Array(1) : new Float32Array(elementCount), shape)] as const,
        );
        loadStateDict(model, new StateDict(zeros), { strict: true });
        expect([...predict(model.model, images)]).to.deep.equal(new Array(12).fill(0));
        loadStateDict(model, state, { strict: true });
        expectTorch("cnn", predict(model.model, images));
      }
    } finally {
      await tf.setBackend("cpu");
    }
  });

  it("gives back the state dict it was given, names, shapes and bits", async () => {
    for (const [name, make] of [
      ["mlp", tfjsMlp],
      ["cnn", tfjsCnn],
    ] as const) {
      const { stateDict, close } = await loadCheckpoint(adapterFixture(`${name}.pt`));
      const model = new TfjsModule(make());
      loadStateDict(model, new StateDict([...stateDict].map(([key, tensor]) => [key.slice("module.".length), tensor])), { strict: true });
      const back = model.stateDict();
      expect(new Set(back.keys())).to.deep.equal(new Set([...stateDict.keys()].map((key) => key.slice("module.".length))));
      for (const source of [back, fromTfjs(model.model)]) {
        for (const [key, tensor] of source) {
          if (source !== back && key.endsWith("num_batches_tracked")) continue;
          expect(tensor.shape, key).to.deep.equal(stateDict.get(`module.${key}`)?.shape);
          expect(tensor.contiguous().data, key).to.deep.equal(stateDict.get(`module.${key}`)?.contiguous().data);
        }
      }
      await close();
    }
  });

  it("shows what a training step made, and takes the next weights over it", async () => {
    const model = new TfjsModule(tfjsMlp());
    await loadModelCheckpoint(model, adapterFixture("mlp.pt"), { strict: true });
    const before = model.stateDict().get("fc1.weight")?.contiguous().data.slice() as Float32Array;
    model.model.compile({ optimizer: tf.train.sgd(0.1), loss: "meanSquaredError" });
    await model.model.fit(tf.ones([4, 6]), tf.ones([4, 3]), { epochs: 1, verbose: 0 });
    const trained = model.stateDict().get("fc1.weight");
    const kernel = model.model.layers[0]?.getWeights()[0];
    expect(trained?.contiguous().data).to.not.deep.equal(before);
    expect(trained?.get(2, 1)).to.equal((kernel?.arraySync() as number[][] | undefined)?.[1]?.[2]);
    await loadModelCheckpoint(model, adapterFixture("mlp.pt"), { strict: true });
    expectTorch("mlp", predict(model.model, expectedOf("mlp").inputs));
  });

  it("keeps no tensor of its own, and an update of a steady model allocates no array", () => {
    const model = new TfjsModule(tfjsMlp());
    const weights = (value: number) =>
      new StateDict(
        [...model.stateDict()].map(([key, tensor]) => [key, Tensor.from(new Float32Array(tensor.elementCount).fill(value), tensor.shape)]),
      );
    loadStateDict(model, weights(1), { strict: true });
    loadStateDict(model, weights(2), { strict: true });
    const { numTensors, numDataBuffers } = tf.memory();
    const arrays = new Set<unknown>();
    for (let value = 3; value < 20; value += 1) {
      loadStateDict(model, weights(value), { strict: true });
      arrays.add(model.model.layers[0]?.getWeights()[0]?.dataSync().buffer);
      expect(model.model.layers[0]?.getWeights()[0]?.dataSync()[5]).to.equal(value);
    }
    expect(arrays.size).to.equal(2);
    expect(tf.memory()).to.include({ numTensors, numDataBuffers });
  });

  it("leaves an array alone that the program shares with a target network", () => {
    const online = tf.variable(tf.zeros([2, 3]));
    const target = tf.variable(tf.zeros([2, 3]));
    const model = new TfjsVariables(new Map([["fc.weight", online]]), { layouts: new Map([["fc.weight", "dense"]]) });
    const load = (value: number) =>
      loadStateDict(model, new StateDict([["fc.weight", Tensor.from(new Float32Array(6).fill(value), [3, 2])]]));
    load(1);
    target.assign(online);
    for (const value of [2, 3, 4]) load(value);
    expect([...target.dataSync()]).to.deep.equal(new Array(6).fill(1));
    expect([...online.dataSync()]).to.deep.equal(new Array(6).fill(4));
  });

  it("a target network that shares loaded memory keeps its values when a later update writes there", () => {
    const [online, trained] = [tf.variable(tf.zeros([4])), tf.variable(tf.zeros([4]))];
    const model = new TfjsVariables(new Map(Object.entries({ online, trained })));
    // As a source of updates does it: two memories in turn.
    const sets = [new Float32Array(new SharedArrayBuffer(32)), new Float32Array(new SharedArrayBuffer(32))];
    const update = (generation: number) => {
      const values = (sets[generation % 2] ?? new Float32Array(8)).fill(generation);
      const names = [...model.variables.keys()];
      loadStateDict(model, new StateDict(names.map((name, at) => [name, Tensor.from(values.subarray(4 * at, 4 * at + 4), [4])])));
    };
    update(1);
    const targets = [tf.variable(online), tf.variable(trained)];
    trained.assign(tf.ones([4]));
    for (const generation of [2, 3, 4, 5]) update(generation);
    for (const each of targets) expect([...each.dataSync()]).to.deep.equal([1, 1, 1, 1]);
    for (const each of model.variables.values()) expect([...each.dataSync()]).to.deep.equal([5, 5, 5, 5]);
  });

  it("a model loaded from another's living weights keeps them when the other goes on", async () => {
    const [online, target] = [new TfjsModule(tfjsMlp()), new TfjsModule(tfjsMlp())];
    await loadModelCheckpoint(online, adapterFixture("mlp.pt"), { strict: true });
    const memory = [1, 2].map(() =>
      [...online.stateDict()].map(([key, { elementCount, shape }]) => [key, new Float32Array(elementCount), shape] as const),
    );
    const update = (generation: number) => {
      const set = memory[generation % 2] ?? [];
      for (const [, values] of set) values.fill(generation);
      loadStateDict(online, new StateDict(set.map(([key, values, shape]) => [key, Tensor.from(values, shape)])), { strict: true });
    };
    update(1);
    update(2);
    loadStateDict(target, online.stateDict(), { strict: true });
    for (let generation = 3; generation < 7; generation += 1) update(generation);
    for (const [key, tensor] of target.stateDict()) expect(new Set(tensor.toFloat32Array()), key).to.deep.equal(new Set([2]));
    for (const [key, tensor] of online.stateDict()) expect(new Set(tensor.toFloat32Array()), key).to.deep.equal(new Set([6]));
  });

  it("looks at what another TensorFlow.js model has published itself, whatever its layout", async () => {
    const source = new TfjsModule(tfjsCnn());
    await loadModelCheckpoint(source, adapterFixture("cnn.pt"), { strict: true });
    // As a publication lays it out: elements in their own order, in memory that is read only from now on.
    const published = [...source.stateDict()].map(([key, tensor]) => {
      const { buffer, byteOffset, byteLength } = tensor.data;
      return [
        key,
        new Tensor({ ...tensor, storageOffset: 0, storage: new Storage(buffer.slice(byteOffset, byteOffset + byteLength), 0, byteLength) }),
      ] as const;
    });
    const model = new TfjsModule(tfjsCnn());
    loadStateDict(model, new StateDict(published), { strict: true });
    expectTorch("cnn", predict(model.model, transposed(expectedOf("cnn").inputs, IMAGE_LAST)));
    const buffers = new Map(published.map(([key, tensor]) => [key, tensor.storage.buffer]));
    for (const layer of ["conv1", "depth", "point", "norm1", "head"]) {
      const values = model.model.getLayer(layer).getWeights()[0]?.dataSync();
      expect(values?.buffer, layer).to.equal(buffers.get(`${layer}.weight`));
    }
  });

  it("looks at loaded memory itself where both libraries order a weight alike", () => {
    const table = tf.variable(tf.zeros([4, 2]));
    const values = new Float32Array(new SharedArrayBuffer(32)).fill(7);
    loadStateDict(new TfjsVariables(new Map([["table", table]])), new StateDict([["table", Tensor.from(values, [4, 2])]]));
    expect(table.dataSync().buffer).to.equal(values.buffer);
  });

  it("leaves the model as it was when a load fails half way", async () => {
    const model = new TfjsModule(tfjsMlp());
    await loadModelCheckpoint(model, adapterFixture("mlp.pt"), { strict: true });
    await loadModelCheckpoint(model, adapterFixture("mlp.pt"), { strict: true });
    const next = new StateDict(
      [...model.stateDict()].map(([key, tensor]) => [key, Tensor.from(new Float32Array(tensor.elementCount), tensor.shape)]),
    );
    const head = model.model.layers.at(-1)?.weights[0];
    if (!head) throw new Error("no head");
    const write = head.write.bind(head);
    let calls = 0;
    head.write = (value) => {
      calls += 1;
      if (calls === 1) throw new Error("out of memory");
      return write(value);
    };
    await expectError("RANKCAST_STATE_DICT_COMMIT", () => loadStateDict(model, next, { strict: true }));
    expectTorch("mlp", predict(model.model, expectedOf("mlp").inputs));
  });

  it("names layers as it is told and finds layers in models", async () => {
    const inner = sequential({ name: "body", layers: [layers.dense({ name: "a", units: 2, inputShape: [3] })] });
    const model = new TfjsModule(sequential({ layers: [inner, layers.dense({ name: "b", units: 1 })] }), {
      names: { body: "net.0", b: "net.1" },
    });
    expect([...model.stateDict().keys()]).to.deep.equal(["net.0.a.weight", "net.0.a.bias", "net.1.weight", "net.1.bias"]);
    expect([...model.getSubmodule("net.0").stateDict().keys()]).to.deep.equal(["a.weight", "a.bias"]);
  });

  it("refuses layers it has no rule for, until it is told one", async () => {
    const recurrent = () =>
      sequential({ layers: [layers.simpleRNN({ name: "rnn", units: 2, recurrentInitializer: "zeros", inputShape: [3, 4] })] });
    await expectError("RANKCAST_ADAPTER_LAYER", () => new TfjsModule(recurrent()));
    const model = new TfjsModule(recurrent(), {
      weights: (layer, weight) =>
        ({
          kernel: { name: `${layer}.weight_ih_l0`, layout: "dense" as const },
          recurrent_kernel: { name: `${layer}.weight_hh_l0`, layout: "dense" as const },
          bias: { name: `${layer}.bias_ih_l0`, layout: "same" as const },
        })[weight],
    });
    expect(model.stateDict().get("rnn.weight_ih_l0")?.shape).to.deep.equal([2, 4]);
  });

  it("keeps its element types: a policy that would change them is refused", async () => {
    const model = new TfjsModule(tfjsMlp());
    const half = new StateDict([["head.bias", Tensor.from(new Uint16Array(3), [3], { dtype: "float16" })]]);
    loadStateDict(model, half);
    await expectError("RANKCAST_STATE_DICT_MISMATCH", () =>
      loadStateDict(model, half, { dtype: "keep", strict: false, onMismatch: "error" }),
    );
  });
});
