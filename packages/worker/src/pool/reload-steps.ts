/**
 * The loads and updates that a restarted replica must repeat to be what the others are. Segments are kept open here: their owners let them go
 * once everybody has attached, and a file may leave the cache. Where loads adopt, that costs nothing (the pages are in use); where they copy,
 * the bytes stay in shared memory, once per node, until the next load.
 */
import { closeSync, openSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { DEFAULT_LIMITS, DistributionError, type ReplicaReport } from "@rankcast/core";
import type { PlacedSegments } from "@rankcast/core/runtime";
import { type Delivery, prepareDelivery } from "../replica/delivery.ts";
import { type KeptSet, KeptSets } from "../replica/kept-sets.ts";
import type { ReplicaLoadOptions } from "../replica/replica-host.ts";
import type { WeightsLabel } from "../replica/weights-label.ts";

/** One load or update as a fresh replica repeats it. */
export interface ReloadStep {
  readonly delivery: Delivery;
  readonly options: ReplicaLoadOptions;
  readonly label: WeightsLabel;
}

type OfferedStep = Omit<HeldStep, "label">;

interface HeldStep extends ReloadStep {
  readonly descriptors: readonly number[];
}

/** Why something could not be kept. */
interface Gap {
  readonly why: string;
  readonly cause?: unknown;
}

/** What a restart would repeat. */
interface Reload {
  readonly steps: readonly HeldStep[];
  /** Why a restart cannot give a replica its weights; null while it can. */
  readonly gap: Gap | null;
}

const NOTHING: Reload = { steps: [], gap: null };

/** See the module comment. */
export class ReloadSteps {
  readonly #noMmap: boolean;
  #now: Reload = NOTHING;
  /** For a round that is taken back after it was committed. */
  #before: Reload = NOTHING;
  #offered: { readonly step: OfferedStep | null; readonly gap: Gap | null } | null = null;
  /** Sets of updates: they are written in turn, and a swap only names one. */
  readonly #sets = new KeptSets<HeldStep>();

  constructor(noMmap: boolean) {
    this.#noMmap = noMmap;
  }

  /** Another load or update begins: those before it are not to be taken back any more, and what they replaced is let go. */
  begin(): void {
    if (this.#offered === null && this.#isKept(this.#before)) {
      this.#before = this.#now;
      return;
    }
    this.#change(() => {
      this.#offered = null;
      this.#before = this.#now;
    });
  }

  /** A load is being prepared: holds its segments, because after it has passed their owners may let go. */
  offer(delivery: Delivery, options: ReplicaLoadOptions): void {
    this.begin();
    try {
      this.#offered = { step: { ...holdSegments(delivery), options }, gap: null };
    } catch (cause) {
      // The load itself goes on; only a restart would miss the weights, and says so.
      this.#offered = { step: null, gap: { why: "its segments could not be kept open", cause } };
    }
  }

  /** The load that was offered was committed: what it replaced is let go when the next one begins. */
  keep(reports: readonly ReplicaReport[], label: WeightsLabel): void {
    const offered = this.#offered;
    this.#change(() => {
      this.#offered = null;
      if (offered?.step) this.#take({ ...offered.step, label }, reports);
      else this.#move({ steps: [], gap: offered?.gap ?? { why: "a load was never offered" } });
    });
  }

  /** Replicas went on to a set of an earlier update, or attached it by `attach`. */
  swap(kept: KeptSet, options: ReplicaLoadOptions, label: WeightsLabel, reports: readonly ReplicaReport[], attach: () => Delivery): void {
    const known = this.#sets.get(kept);
    if (known) {
      const step = { ...known, options, label };
      // Nearly all updates go to and fro between sets that stay open: then nothing is to be closed.
      if (this.#isKept(this.#before)) this.#take(step, reports);
      else this.#change(() => this.#take(step, reports));
      return;
    }
    this.offer(attach(), options);
    this.keep(reports, label);
  }

  /** The load failed before its commit: nothing changes. */
  withdraw(): void {
    this.#change(() => {
      this.#offered = null;
    });
  }

  /** What was kept since the last load or update began is taken back, if it was; says whether. */
  rollBack(): boolean {
    const isKept = this.#now !== this.#before;
    this.#change(() => {
      this.#offered = null;
      this.#now = this.#before;
    });
    return isKept;
  }

  /** The owner of segments may write over them from now on: what a restart would find there are other weights. */
  own(): void {
    if (!this.#now.steps.some(({ label }) => label.number !== null)) return;
    this.#change(() => {
      this.#now = { steps: [], gap: { why: "they were published weights, whose memory was given back when the subscription ended" } };
      this.#before = this.#now;
      this.#sets.clear();
    });
  }

  /**
   * What a fresh replica must load, in order; empty before the first load.
   * @throws {DistributionError} RANKCAST_REPLICA_NOT_RELOADABLE when something of it could not be kept.
   */
  list(): ReloadStep[] {
    const { steps, gap } = this.#now;
    if (gap) {
      throw new DistributionError("RANKCAST_REPLICA_NOT_RELOADABLE", `the weights of the pool cannot be loaded again: ${gap.why}`, {
        cause: gap.cause,
      });
    }
    return steps.map(({ delivery, options, label }) => ({ delivery: freshDelivery(delivery, this.#noMmap), options, label }));
  }

  /** Lets everything go. */
  release(): void {
    this.#change(() => {
      this.#offered = null;
      this.#now = NOTHING;
      this.#before = NOTHING;
      this.#sets.clear();
    });
  }

  /** Whether letting go of it closes nothing, because its segments are those of sets of updates. */
  #isKept({ steps }: Reload): boolean {
    return steps.every((step) => this.#sets.get(reuseOf(step))?.descriptors === step.descriptors);
  }

  #take(step: HeldStep, reports: readonly ReplicaReport[]): void {
    this.#sets.keep(reuseOf(step), step);
    const whole = reports.every(({ missing, mismatched, ignored }) => missing.length + mismatched.length + ignored === 0);
    if (whole) {
      this.#move({ steps: [step], gap: null });
      return;
    }
    // Updates of some keys come with the same manifest again and again: the last one says it all.
    const steps = [...this.#now.steps.filter((each) => !loadsTheSame(each, step)), step];
    const many = steps.length > DEFAULT_LIMITS.replicaReloadSteps;
    this.#move(
      many
        ? { steps: [], gap: { why: `more than ${DEFAULT_LIMITS.replicaReloadSteps} updates of different keys followed the last load` } }
        : { steps, gap: this.#now.gap },
    );
  }

  #move(next: Reload): void {
    this.#before = this.#now;
    this.#now = next;
  }

  /** Closes what nothing refers to any more after the change. */
  #change(change: () => void): void {
    const held = this.#descriptors();
    change();
    const left = this.#descriptors();
    for (const fd of held) if (!left.has(fd)) closeSync(fd);
  }

  #descriptors(): Set<number> {
    const offered = this.#offered?.step ? [this.#offered.step] : [];
    const steps = [...this.#now.steps, ...this.#before.steps, ...this.#sets.values(), ...offered];
    return new Set(steps.flatMap(({ descriptors }) => descriptors));
  }
}

type SegmentDescriptor = PlacedSegments["segments"][number];

const NO_SET: KeptSet = { layout: "", set: null };

const reuseOf = ({ delivery }: ReloadStep): KeptSet => delivery.placed.reuse ?? NO_SET;

/** The same delivery by descriptors of this process. @throws {Error} when a segment is gone already. */
function holdSegments(delivery: Delivery): Pick<HeldStep, "delivery" | "descriptors"> {
  const descriptors: number[] = [];
  try {
    const hold = (segment: SegmentDescriptor): SegmentDescriptor => {
      const fd = openSync(segment.path, "r");
      descriptors.push(fd);
      return process.platform === "linux" ? { ...segment, path: `/proc/${process.pid}/fd/${fd}` } : segment;
    };
    const { casts } = delivery.placed;
    const placed = {
      ...delivery.placed,
      segments: delivery.placed.segments.map(hold),
      ...(casts ? { casts: { ...casts, segments: casts.segments.map(hold) } } : {}),
    };
    const shared = new Set(delivery.placed.shared);
    // Buffers that the replicas own now hold their training; only what all of them are meant to share is passed on.
    const windows = delivery.windows?.map((window, index) => (shared.has(index) ? window : null)) ?? null;
    return { delivery: { ...delivery, placed, windows }, descriptors };
  } catch (cause) {
    for (const fd of descriptors) closeSync(fd);
    throw cause;
  }
}

/** A delivery for one more replica; where nothing can be mapped, its bytes are read once more. */
function freshDelivery(held: Delivery, noMmap: boolean): Delivery {
  const { windows, ...delivery } = prepareDelivery(held, 1, noMmap);
  return { ...delivery, windows: windows?.map((window, index) => held.windows?.[index] ?? window) ?? null };
}

function loadsTheSame(one: ReloadStep, other: ReloadStep): boolean {
  return Buffer.compare(one.delivery.manifest, other.delivery.manifest) === 0 && isDeepStrictEqual(one.options, other.options);
}
