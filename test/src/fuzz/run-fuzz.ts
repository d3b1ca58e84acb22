/** A fuzzing run: threads that share the inputs, a watch over hangs and crashes, a count per reader. */
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { InputMaker } from "./fuzz-input.ts";
import { type LaneDone, type LaneFinding, type LaneOrder, SLOT_BEGAN, SLOT_COUNTS, SLOT_INDEX, SLOT_STOP, SLOTS } from "./fuzz-lane.ts";
import { loadSeeds } from "./fuzz-seeds.ts";

/** An input at work for so long will not end. Slower than the time one input may take, so that the thread itself can say so first. */
const HANG_MS = 20_000;
const WATCH_MS = 500;
/** Heap of a thread; more is a failure of the input it was reading. */
const HEAP_MIB = 512;
/** Inputs are garbage as soon as they are examined: with room for some hundred of them, collecting costs a third of what it does by default. */
const YOUNG_MIB = 96;

/** What to run. */
export interface FuzzRunOptions {
  readonly inputs: number;
  readonly seconds: number;
  readonly seed: number;
  readonly threads: number;
  /** Only this reader. */
  readonly reader?: string | undefined;
  /** Collect inputs of new kinds. */
  readonly grow?: boolean;
  /** Called about every ten seconds. */
  readonly onProgress?: (inputs: number, seconds: number) => void;
}

/** What a run found. */
export interface FuzzRunResult {
  /** Inputs examined, seeds included. */
  readonly inputs: number;
  /** Inputs that were wanted, seeds included, and not examined. */
  readonly missing: number;
  readonly seconds: number;
  readonly byReader: ReadonlyMap<string, number>;
  readonly failures: readonly LaneFinding[];
  readonly novel: readonly LaneFinding[];
}

/** Runs until all inputs are examined or the time is over. */
export async function runFuzz(options: FuzzRunOptions): Promise<FuzzRunResult> {
  const seeds = await loadSeeds();
  const maker = new InputMaker(seeds, options.seed, options.reader);
  const begin = performance.now();
  const findings: LaneFinding[] = [];
  const lanes = Array.from({ length: options.threads }, (_, lane) => new Lane(options, lane, seeds.length, maker, findings));
  const seconds = (): number => (performance.now() - begin) / 1000;
  let told = 0;
  const watch = setInterval(() => {
    for (const lane of lanes) lane.check(seconds() > options.seconds);
    if (seconds() - told >= 10) {
      told = seconds();
      options.onProgress?.(sum(lanes.map((lane) => lane.inputs)), told);
    }
  }, WATCH_MS);
  try {
    await Promise.all(lanes.map((lane) => lane.ended));
  } finally {
    clearInterval(watch);
  }
  const byReader = new Map(maker.readers.map((reader, at) => [reader, sum(lanes.map((lane) => lane.countAt(at)))]));
  const ofType = (type: LaneFinding["type"]): LaneFinding[] => findings.filter((each) => each.type === type);
  const inputs = sum([...byReader.values()]);
  const wanted = options.inputs + seeds.filter((seed) => byReader.has(seed.reader)).length;
  return {
    inputs,
    missing: Math.max(wanted - inputs, 0),
    seconds: seconds(),
    byReader,
    failures: ofType("failure"),
    novel: ofType("novel"),
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

/** One thread and its successors: a thread that hangs or dies is replaced by one that goes on behind the input it was at. */
class Lane {
  readonly ended: Promise<void>;
  readonly #options: FuzzRunOptions;
  readonly #maker: InputMaker;
  readonly #findings: LaneFinding[];
  readonly #memory = new SharedArrayBuffer(SLOTS * 8);
  readonly #slots = new Float64Array(this.#memory);
  #worker: Worker;
  #finish: () => void = () => undefined;
  #done = false;

  constructor(options: FuzzRunOptions, lane: number, seeds: number, maker: InputMaker, findings: LaneFinding[]) {
    this.#options = options;
    this.#maker = maker;
    this.#findings = findings;
    this.ended = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.#worker = this.#start(-seeds + lane);
  }

  get inputs(): number {
    return sum([...this.#slots.subarray(SLOT_COUNTS)]);
  }

  countAt(reader: number): number {
    return this.#slots[SLOT_COUNTS + reader] ?? 0;
  }

  /** Stops the thread when the time is over, replaces it when it hangs. */
  check(timeIsOver: boolean): void {
    if (timeIsOver) this.#slots[SLOT_STOP] = 1;
    const began = this.#slots[SLOT_BEGAN] ?? 0;
    if (began > 0 && Date.now() - began > HANG_MS) this.#replace(`did not end within ${HANG_MS} ms`);
  }

  #start(first: number): Worker {
    const { seed, threads, inputs, reader, grow = false } = this.#options;
    const order: LaneOrder = { runSeed: seed, first, step: threads, end: inputs, reader, grow, slots: this.#memory };
    const worker = new Worker(fileURLToPath(new URL("./fuzz-thread.js", import.meta.url)), {
      workerData: order,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB, maxYoungGenerationSizeMb: YOUNG_MIB },
    });
    worker.on("message", (message: LaneFinding | LaneDone) => {
      if (message.type !== "done") this.#findings.push(message);
      else this.#done = true;
    });
    worker.on("error", (error) => {
      if (worker === this.#worker) this.#replace(`ended its thread: ${error.message}`);
    });
    worker.on("exit", () => {
      if (worker !== this.#worker) return;
      if (this.#done) this.#finish();
      else this.#replace("ended its thread: a promise never settled");
    });
    return worker;
  }

  #replace(text: string): void {
    const index = this.#slots[SLOT_INDEX] ?? 0;
    const old = this.#worker;
    this.#slots[SLOT_BEGAN] = 0;
    const input = index >= 0 ? this.#maker.make(index) : { reader: "seed", seed: `seed ${index}`, entry: "", files: new Map() };
    this.#findings.push({ type: "failure", index, text, ...input });
    this.#worker = this.#start(index + this.#options.threads);
    void old.terminate();
  }
}
