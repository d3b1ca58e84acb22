/**
 * Damage of any kind to small files of every format: each single byte changed, each length cut. The result is equal, or differs where the
 * format has no means to notice (no checksum over those bytes), or is a typed refusal. Never a crash, a hang, or memory out of proportion.
 */
import { CheckpointError, DEFAULT_LIMITS } from "@rankcast/core";
import { memorySource, noSiblings, readCheckpoint, resolved } from "@rankcast/core/internal";
import { expect } from "chai";
import { inspectTree } from "../conformance/inspect-fixture.ts";
import { fixtureBytes } from "../support/fixtures.ts";

/** `noticed`: every change of content must be noticed. */
interface Subject {
  readonly path: string;
  readonly noticed: boolean;
}

const SUBJECTS: readonly Subject[] = [
  { path: "torch-zip/view_overlap_t113.pt", noticed: true },
  { path: "torch-zip/rezipped_deflate.pt", noticed: true },
  { path: "torch-zip/no_crc.pt", noticed: false },
  { path: "torch-legacy/minimal.pt", noticed: false },
  { path: "torch-legacy/views.pt", noticed: false },
  { path: "torch-tar/storage_views.pth", noticed: false },
  { path: "pickle/numpy_p4_t113.pkl", noticed: false },
  { path: "safetensors/metadata.safetensors", noticed: false },
  { path: "npz/stored.npz", noticed: true },
  { path: "npz/deflated.npz", noticed: true },
  { path: "npz/npy_fortran.npy", noticed: false },
];

const MEMORY_GROWTH_MAX = 64 * 2 ** 20;

/** What reading gives, as text that can be compared. */
async function outcomeOf(bytes: Uint8Array): Promise<string> {
  const source = memorySource(bytes, "damaged.pt");
  try {
    const tree = await readCheckpoint(resolved("damaged.pt", source, noSiblings("damaged.pt")), { limits: DEFAULT_LIMITS });
    const { tensors, aliases, manifest } = await inspectTree(tree);
    return JSON.stringify([tree.format, tensors, aliases, manifest.nontensor, manifest.opaque, manifest.metadataModules]);
  } catch (error) {
    if (error instanceof CheckpointError && error.class !== "internal") return "refused";
    throw error;
  }
}

function* mutations(whole: Uint8Array): Generator<readonly [string, Uint8Array]> {
  for (let at = 0; at < whole.length; at += 1) {
    // One bit, and a change that differs from place to place; together they meet lengths, opcodes and signs.
    for (const change of [1, ((at * 37) % 255) + 1]) {
      const damaged = Uint8Array.from(whole);
      damaged[at] = (damaged[at] ?? 0) ^ change;
      yield [`byte ${at} xor ${change}`, damaged];
    }
  }
}

function* truncations(whole: Uint8Array): Generator<readonly [string, Uint8Array]> {
  for (let length = 0; length < whole.length; length += 1) yield [`the first ${length} bytes`, whole.slice(0, length)];
}

async function compare(subject: Subject, cases: Iterable<readonly [string, Uint8Array]>, whole: Uint8Array): Promise<void> {
  const intact = await outcomeOf(whole);
  expect(intact).to.not.equal("refused");
  const before = process.memoryUsage();
  for (const [damage, bytes] of cases) {
    const outcome = await outcomeOf(bytes).catch((error: unknown) => {
      throw new Error(`${subject.path}, ${damage}: not a typed refusal`, { cause: error });
    });
    if (subject.noticed && outcome !== "refused") expect(outcome, `${subject.path}, ${damage}`).to.equal(intact);
  }
  const after = process.memoryUsage();
  expect(after.arrayBuffers - before.arrayBuffers).to.be.below(MEMORY_GROWTH_MAX);
}

describe("damaged files", () => {
  for (const subject of SUBJECTS) {
    const whole = fixtureBytes(`accepted/${subject.path}`);
    it(`${subject.path}: any byte changed`, () => compare(subject, mutations(whole), whole)).timeout(60_000);
    it(`${subject.path}: cut anywhere`, () => compare(subject, truncations(whole), whole)).timeout(60_000);
  }
});
