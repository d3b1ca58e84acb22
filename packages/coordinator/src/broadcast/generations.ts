/**
 * The last generation of updated weights on this node, kept so that the next one can travel as a difference. Every node of a job keeps the same
 * one, because it keeps what a round that every node has passed has brought: a sender therefore knows what a receiver has.
 */
import { createHash } from "node:crypto";
import { DistributionError } from "@rankcast/core";
import {
  applyDelta,
  attachStorages,
  blocksOf,
  createMemorySegment,
  encodeDelta,
  type MemorySegment,
  nativeMemory,
  type SegmentDescriptor,
} from "@rankcast/core/runtime";

/** How a generation is told as the difference from another one. Plain data; goes to the receivers. */
export interface DeltaTerms {
  /** The round that brought the generation it starts from. */
  readonly base: number;
  /** Sizes of the new generation's segments. */
  readonly segmentBytes: readonly number[];
}

/** A difference that waits to be sent. */
export interface PreparedDelta {
  readonly terms: DeltaTerms;
  readonly descriptor: SegmentDescriptor;
  release(): void;
}

interface Generation {
  readonly sequence: number;
  /** Equal when names, types, shapes and places are. */
  readonly layout: string;
  readonly views: readonly Uint8Array[];
}

/** A view of Node 20 shows no more; larger segments travel whole. */
const VIEW_BYTES_MAX = 2 ** 32 - 1;
/** Below this a difference saves less than the turn it takes. */
const WORTH_BYTES_MIN = 64 * 1024;

/** See the module comment. */
export class Generations {
  readonly #noMmap: boolean;
  #kept: Generation | null = null;
  #pending: Generation | null = null;

  constructor(noMmap: boolean) {
    this.#noMmap = noMmap;
  }

  /** A round's weights are in memory of this node; they count once `settle` says that every node has them. */
  hold(sequence: number, manifest: Uint8Array, descriptors: readonly SegmentDescriptor[]): void {
    const views = this.#attach(descriptors);
    this.#pending = views && {
      sequence,
      layout: layoutOf(
        manifest,
        descriptors.map(({ nbytes }) => nbytes),
      ),
      views,
    };
  }

  /** Every node has the round's weights: they are what the next difference starts from. */
  settle(sequence: number): void {
    if (this.#pending?.sequence === sequence) this.#kept = this.#pending;
    this.#pending = null;
  }

  /** A round failed: nodes may have different generations now, so the next one travels whole. */
  forget(): void {
    this.#kept = null;
    this.#pending = null;
  }

  /** The held weights as a difference from the kept ones; null when there is nothing to start from, or it would not pay. */
  async encode(): Promise<PreparedDelta | null> {
    const [base, next] = [this.#kept, this.#pending];
    if (!base || !next || base.layout !== next.layout) return null;
    const blocks = blocksOf(next.views);
    if (blocks.nbytes < WORTH_BYTES_MIN) return null;
    const encoded = await encodeDelta(blocksOf(base.views), blocks);
    if (!encoded) return null;
    const segment = createMemorySegment(encoded.bytes.length, nativeMemory(this.#noMmap));
    new Uint8Array(segment.buffer).set(encoded.bytes);
    const terms = { base: base.sequence, segmentBytes: next.views.map(({ length }) => length) };
    return { terms, descriptor: segment.publish(), release: () => segment.release() };
  }

  /**
   * The new generation from a difference that was received.
   * @throws {DistributionError} RANKCAST_DELTA when this node has not the generation it starts from, or it is damaged.
   * @throws {TensorError} RANKCAST_MEMORY_FULL.
   */
  async apply(terms: DeltaTerms, received: readonly SegmentDescriptor[]): Promise<readonly MemorySegment[]> {
    const base = this.#kept;
    const [delta] = this.#attach(received) ?? [];
    if (!base || base.sequence !== terms.base || !delta) {
      throw new DistributionError(
        "RANKCAST_DELTA",
        `a difference from round ${terms.base} came, this node has ${base?.sequence ?? "none"}`,
      );
    }
    const native = nativeMemory(this.#noMmap);
    const segments = terms.segmentBytes.map((nbytes) => createMemorySegment(Math.max(nbytes, 1), native));
    try {
      const targets = segments.map(({ buffer }, index) => new Uint8Array(buffer, 0, terms.segmentBytes[index] ?? 0));
      await applyDelta(blocksOf(base.views), delta, blocksOf(targets));
      return segments;
    } catch (error) {
      for (const segment of segments) segment.release();
      throw error;
    }
  }

  /** One view per segment; null where memory cannot be mapped or a view cannot show it. */
  #attach(descriptors: readonly SegmentDescriptor[]): readonly Uint8Array[] | null {
    const native = nativeMemory(this.#noMmap);
    if (!native || descriptors.some(({ nbytes }) => nbytes > VIEW_BYTES_MAX)) return null;
    const placements = descriptors.map(({ nbytes }, segment) => ({ segment, byteOffset: 0, nbytes }));
    return attachStorages(descriptors, placements, native).storages.map((storage) => storage.bytes());
  }
}

function layoutOf(manifest: Uint8Array, segmentBytes: readonly number[]): string {
  return createHash("sha256").update(manifest).update(JSON.stringify(segmentBytes)).digest("hex");
}
