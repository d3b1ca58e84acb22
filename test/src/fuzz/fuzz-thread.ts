/** A fuzzing thread: makes inputs, examines them, reports what must not be. */
import { parentPort, workerData } from "node:worker_threads";
import { armEffectsWatch } from "./effects-watch.ts";
import { type Examination, examineInput } from "./examine-input.ts";
import { type FuzzInput, InputMaker } from "./fuzz-input.ts";
import { type LaneFinding, type LaneOrder, SLOT_BEGAN, SLOT_COUNTS, SLOT_INDEX, SLOT_STOP } from "./fuzz-lane.ts";
import { loadSeeds } from "./fuzz-seeds.ts";
import { minimiseInput } from "./minimise-input.ts";
import { openThreadClock } from "./thread-clock.ts";

const FAILURES_MAX = 20;
/** What was slow by the clock on the wall is judged again by the time its thread had: others may have been at work. */
const CONFIRMATIONS = 2;

const order = workerData as LaneOrder;
const slots = new Float64Array(order.slots);
const seeds = await loadSeeds();
const maker = new InputMaker(seeds, order.runSeed, order.reader);
const readers = maker.readers;
const wanted = seeds.filter((seed) => readers.includes(seed.reader));
const known = new Set<string>();
let failures = 0;

const threadClock = openThreadClock();
armEffectsWatch();
// Making a stack trace costs more than reading most inputs.
Error.stackTraceLimit = 0;

for (let index = order.first; index < order.end && slots[SLOT_STOP] === 0 && failures < FAILURES_MAX; index += order.step) {
  slots[SLOT_INDEX] = index;
  slots[SLOT_BEGAN] = Date.now();
  const input = inputAt(index);
  if (!input) continue;
  const examined = await examineInput(input);
  const slot = SLOT_COUNTS + readers.indexOf(input.reader);
  slots[slot] = (slots[slot] ?? 0) + 1;
  if (examined.failure !== null) await report(index, input);
  else if (order.grow) noteNovel(index, input, examined);
}
slots[SLOT_BEGAN] = 0;
parentPort?.postMessage({ type: "done" });

/** Negative indexes are the seeds themselves, the last one first. */
function inputAt(index: number): FuzzInput | null {
  if (index >= 0) return maker.make(index);
  const seed = wanted[wanted.length + index];
  return seed ? { ...seed, seed: seed.name } : null;
}

async function report(index: number, input: FuzzInput): Promise<void> {
  Error.stackTraceLimit = 12;
  let failure: string | null = null;
  for (let turn = 0; turn < CONFIRMATIONS; turn += 1) {
    ({ failure } = await examineInput(input, threadClock));
    if (failure === null) break;
  }
  Error.stackTraceLimit = 0;
  if (failure === null) return;
  failures += 1;
  slots[SLOT_BEGAN] = 0;
  const smallest = await minimiseInput(input, failure);
  send({ type: "failure", index, reader: input.reader, seed: input.seed, text: failure, entry: smallest.entry, files: smallest.files });
}

function noteNovel(index: number, input: FuzzInput, { signature }: Examination): void {
  const kind = `${input.reader}: ${signature()}`;
  if (known.has(kind)) return;
  known.add(kind);
  if (index >= 0)
    send({ type: "novel", index, reader: input.reader, seed: input.seed, text: kind, entry: input.entry, files: input.files });
}

function send(finding: LaneFinding): void {
  parentPort?.postMessage(finding);
}
