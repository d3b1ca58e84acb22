/** Copies by several threads: every byte where `copyInto` would have it, every run once, and nobody left behind. */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { type DType, Storage, Tensor, TensorError } from "@rankcast/core";
import { BOARD_RUNS_MAX, CopyBoard, type CopyRun, copyInto, nativeMemory, TensorCopier } from "@rankcast/core/internal";
import { expect } from "chai";

const MIB = 2 ** 20;

describe("memory: copies by several threads", function () {
  this.timeout(60_000);

  it("every run is copied once, by whoever takes it, and none after the copy has returned", async () => {
    const board = new CopyBoard();
    const done = new Int32Array(new SharedArrayBuffer(4 * BOARD_RUNS_MAX));
    const taken = new Int32Array(new SharedArrayBuffer(4));
    const helpers = Array.from({ length: 2 }, () => startHelper({ board: board.memory, done: done.buffer, taken: taken.buffer }));
    // The first run that this thread takes lasts until somebody else has taken one: without helpers it would last for ever.
    board.copy(runsOf(2), (target) => {
      Atomics.add(done, Number(target), 1);
      expect(Atomics.wait(taken, 0, 0, 30_000)).to.be.oneOf(["ok", "not-equal"]);
    });
    expect([...done.subarray(0, 3)]).to.deep.equal([1, 1, 0]);
    done.fill(0);
    for (let turn = 0; turn < 2000; turn += 1) {
      const count = (turn * 37) % (turn % 50 === 0 ? BOARD_RUNS_MAX : 9);
      board.copy(runsOf(count), (target) => void Atomics.add(done, Number(target), 1));
      const counts = done.subarray(0, count + 1);
      expect(counts.subarray(0, count).every((times) => times === 1) && counts[count] === 0, `turn ${turn}`).to.equal(true);
      counts.fill(0);
    }
    board.close();
    expect(await Promise.all(helpers)).to.deep.equal([0, 0]);
  });

  for (const helpers of [0, 2]) {
    it(`values, orders and types arrive as one by one (${helpers} helpers)`, () => {
      const copier = new TensorCopier(nativeMemory(false), helpers);
      for (let turn = 1; turn <= 4; turn += 1) {
        const sources = sourcesOf(turn);
        const targets = sources.map((tensor) => likeDense(tensor));
        copier.copy(sources.map((source, index) => ({ source, target: targets[index] as Tensor })));
        for (const [index, source] of sources.entries()) {
          const expected = likeDense(source);
          copyInto(expected, source);
          expect(Buffer.compare(expected.storage.bytes(), (targets[index] as Tensor).storage.bytes()), `tensor ${index}`).to.equal(0);
        }
      }
      copier.close();
    });
  }

  it("a tensor whose memory is gone is refused, and the others can be copied", () => {
    const copier = new TensorCopier(nativeMemory(false), 1);
    const [gone, source, target] = [bigTensor(1), bigTensor(2), bigTensor(0)];
    structuredClone(gone.storage.buffer, { transfer: [gone.storage.buffer as ArrayBuffer] });
    expect(() => copier.copy([{ target, source: gone }])).to.throw();
    expect(target.get(5)).to.equal(0);
    expect(() => copier.copy([{ target, source: bigTensor(1, 5 * MIB) }])).to.throw(TensorError);
    copier.copy([{ target, source }]);
    expect([target.get(0), target.get(4 * MIB - 1)]).to.deep.equal([2, 2]);
    copier.close();
  });

  it("a process ends although its helpers sleep", () => {
    const program = fileURLToPath(new URL("programs/copy-and-end.js", import.meta.url));
    const { status, stdout, stderr } = spawnSync(process.execPath, [program], { encoding: "utf8", timeout: 30_000 });
    expect({ status, stdout, stderr }).to.deep.equal({ status: 0, stdout: "3", stderr: "" });
  });
});

async function startHelper(workerData: Readonly<Record<string, SharedArrayBuffer>>): Promise<number> {
  const worker = new Worker(new URL("programs/help-copying.js", import.meta.url), { workerData });
  const [code] = (await once(worker, "exit")) as [number];
  return code;
}

function runsOf(count: number): CopyRun[] {
  return Array.from({ length: count }, (_, index) => ({ target: BigInt(index), source: 0n, nbytes: 1 }));
}

function bigTensor(value: number, count = 4 * MIB): Tensor {
  return Tensor.from(new Float32Array(count).fill(value), [count]);
}

/** Large and small, in every order, shared, with gaps, conjugated, packed, empty; all have values of their own. */
function sourcesOf(seed: number): Tensor[] {
  const memory = (nbytes: number, shared = false): Storage => {
    const storage = Storage.allocate(nbytes, { shared });
    const bytes = storage.bytes();
    for (let at = 0; at < bytes.length; at += 1) bytes[at] = (at * 31 + seed) & 63;
    return storage;
  };
  const tensor = (dtype: DType, shape: number[], stride: number[], storage: Storage, storageOffset = 0, conj = false): Tensor =>
    new Tensor({ dtype, shape, stride, storage, storageOffset, ...(conj ? { conj } : {}) });
  return [
    tensor("float32", [1024, 2048], [2048, 1], memory(8 * MIB)),
    tensor("float32", [1024, 512], [1, 1024], memory(2 * MIB, true)),
    tensor("float16", [2 * MIB - 1], [1], memory(4 * MIB), 1),
    tensor("uint8", [MIB + 7], [1], memory(2 * MIB), 13),
    tensor("float32", [512, 512], [1024, 1], memory(2 * MIB)),
    tensor("complex64", [MIB / 8], [1], memory(MIB), 0, true),
    tensor("int64", [3, 1, 5], [5, 77, 1], memory(8 * 15)),
    tensor("float64", [0, 4], [4, 1], memory(0)),
    tensor("float32", [], [], memory(4)),
  ];
}

/** Memory for the tensor, in its order where it has no gaps. */
function likeDense({ dtype, shape, stride, nbytes }: Tensor): Tensor {
  const gaps = shape[0] === 512 && stride[0] === 1024;
  return new Tensor({ dtype, shape, storage: Storage.allocate(nbytes), ...(gaps ? {} : { stride }) });
}
