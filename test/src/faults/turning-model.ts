/** A model whose weights tell, byte for byte, which update they came from: one that holds parts of two shows neither. */
import { createCipheriv } from "node:crypto";
import { Module, Parameter, StateDict, Tensor } from "@rankcast/core";

/** Elements of each of its two parameters: together 8 MiB, so that an update spends most of its time between nodes. */
export const ELEMENTS = 2 ** 20;
const NAMES = ["left", "right"] as const;
/** Every page of every update differs from the one before, and none compresses: what travels is the whole. */
const TURN_BYTES = 4100;

/** Builds it without memory: the first weights give it theirs. */
export function createReplica(): Module {
  const model = new Module();
  for (const name of NAMES) model.registerParameter(name, Parameter.meta("float32", [ELEMENTS]));
  return model;
}

/** The weights of an update. */
export function weightsOf(turn: number): StateDict {
  return new StateDict(NAMES.map((name) => [name, Tensor.from(floatsOf(name, turn), [ELEMENTS])]));
}

/** Which of these updates it holds; -1 before the first, null when it is none of them. */
export function heldOf(model: Module, turns: readonly number[]): number | null {
  const tensors = [...model.stateDict()];
  if (tensors.some(([, tensor]) => tensor.isMeta)) return -1;
  const holds = (turn: number): boolean =>
    tensors.every(([name, tensor]) => bytesOf(tensor.data as Float32Array).equals(bytesOf(floatsOf(name, turn))));
  return turns.find(holds) ?? null;
}

const bases = new Map<string, Buffer>();

function floatsOf(name: string, turn: number): Float32Array {
  let base = bases.get(name);
  if (!base) {
    const key = Buffer.alloc(16, name);
    base = createCipheriv("aes-128-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(4 * ELEMENTS));
    bases.set(name, base);
  }
  const turned = new Uint8Array(base.length);
  const cut = (turn * TURN_BYTES) % base.length;
  turned.set(base.subarray(cut));
  turned.set(base.subarray(0, cut), base.length - cut);
  return new Float32Array(turned.buffer);
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
