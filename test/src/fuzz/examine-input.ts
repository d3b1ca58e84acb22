/** Reads one input and judges what happened: a result or a typed refusal, in bounded time and memory, without side effects. */
import { getHeapStatistics } from "node:v8";
import { CheckpointError } from "@rankcast/core";
import { takeEffects } from "./effects-watch.ts";
import type { FuzzInput } from "./fuzz-input.ts";
import { FuzzFailure, INPUT_NAME, readInput } from "./fuzz-readers.ts";
import type { ThreadClock } from "./thread-clock.ts";

const TIME_MAX_MS = 1000;
const MEMORY_FLOOR_BYTES = 64 * 2 ** 20;
const MEMORY_RATIO = 2;
const MESSAGE_CHARACTERS_MAX = 2000;
const UNSAFE_TEXT = /[\u0000-\u001f\u007f-\u009f]/;

/** What happened. */
export interface Examination {
  /** Kind of result or refusal, numbers and quoted text left out: inputs with the same one are of no new interest. Worked out when asked for. */
  readonly signature: () => string;
  /** Why this must not be; null when all is well. */
  readonly failure: string | null;
}

/** Examines an input. Never throws. Time is what `clock` says: the wall's is quick to read, a thread's is fair. */
export async function examineInput(input: FuzzInput, clock: ThreadClock = () => performance.now()): Promise<Examination> {
  const before = memoryBytes();
  const begin = clock();
  let signature: () => string;
  let failure: string | null = null;
  try {
    const summary = await readInput(input);
    signature = () => summary;
  } catch (error) {
    failure = judgeError(error, input);
    signature = () => signatureOf(error);
  }
  const tookMs = clock() - begin;
  const grownBytes = memoryBytes() - before;
  return { signature, failure: failure ?? judgeCost(input, tookMs, grownBytes) ?? judgeEffects() };
}

function judgeError(error: unknown, input: FuzzInput): string | null {
  if (!(error instanceof CheckpointError)) {
    return error instanceof Error ? `uncaught ${error.name}: ${error.message}\n${error.stack ?? ""}` : `uncaught ${String(error)}`;
  }
  if (error.class === "internal") return `internal error: ${error.message}`;
  if (error.message.length > MESSAGE_CHARACTERS_MAX) return `a message of ${error.message.length} characters`;
  if (UNSAFE_TEXT.test(error.message)) return `control characters in the message ${JSON.stringify(error.message)}`;
  const names = [INPUT_NAME, ...input.files.keys()];
  const named = input.reader === "manifest" || names.some((name) => error.message.includes(name));
  return named ? null : `the refusal does not name the file: ${error.message}`;
}

function judgeCost(input: FuzzInput, tookMs: number, grownBytes: number): string | null {
  if (tookMs > TIME_MAX_MS) return `took ${Math.round(tookMs)} ms`;
  if (grownBytes < MEMORY_FLOOR_BYTES) return null;
  let inputBytes = 0;
  for (const bytes of input.files.values()) inputBytes += bytes.length;
  const allowed = MEMORY_FLOOR_BYTES + MEMORY_RATIO * inputBytes;
  return grownBytes > allowed ? `allocated ${grownBytes} bytes for an input of ${inputBytes}` : null;
}

function judgeEffects(): string | null {
  const effects = takeEffects();
  if (effects.length > 0) return `side effects: ${effects.join(", ")}`;
  for (const name in {}) return `Object.prototype has ${name}`;
  return null;
}

function signatureOf(error: unknown): string {
  if (error instanceof FuzzFailure) return "failure";
  if (!(error instanceof CheckpointError)) return error instanceof Error ? `uncaught ${error.name}` : "uncaught";
  const shape = error.message.replaceAll(/"(?:[^"\\]|\\.)*"/g, "T").replaceAll(/-?\d+(?:\.\d+)?|0x[0-9a-f]+|[0-9a-f]{8}/g, "N");
  return `${error.code} ${shape.replaceAll(/record \S+|(?:N, )+N/g, "R").slice(0, 160)}`;
}

/** Heap and memory outside of it, garbage included, of this thread. */
function memoryBytes(): number {
  const { used_heap_size, external_memory, malloced_memory } = getHeapStatistics();
  return used_heap_size + external_memory + malloced_memory;
}
