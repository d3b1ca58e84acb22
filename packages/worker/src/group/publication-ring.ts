/**
 * Weights of this rank's memory as segments that others can attach. As long as names, types and shapes stay the same, two sets of segments
 * are written in turn: the set that replicas look at is never the one being written (law L4 per generation), and nothing is allocated,
 * planned or described again. Two layouts are kept, because a learner may publish an adapter several times and then everything.
 */
import type { StateDict } from "@rankcast/core";
import {
  createMemorySegment,
  createRewritableSegment,
  type NativeMemory,
  nativeMemory,
  type OrderWish,
  type PlacedSegments,
  type TensorCopier,
} from "@rankcast/core/runtime";
import { PublicationLayout } from "./publication-layout.ts";

/** A published state dict. */
export interface PublishedStateDict {
  /** Empty when every rank knows it from the update before. */
  readonly manifest: Uint8Array;
  readonly placed: PlacedSegments;
}

const SETS = 2;
const LAYOUTS_MAX = 2;
const NO_BYTES = new Uint8Array(0);

/** A layout with its place in the turn. */
interface Turn {
  readonly layout: PublicationLayout;
  /** The set that is written next; the other one is what replicas look at. */
  next: number;
  /** Sets that every rank has attached. */
  readonly kept: Set<number>;
}

/** See the module comment. */
export class PublicationRing {
  readonly #noMmap: boolean;
  readonly #copier: TensorCopier;
  #turn: Turn | null = null;
  /** Earlier layouts, the last one last, and what portable publications left; given back once the next publication was accepted. */
  #retired: Turn[] = [];

  constructor(noMmap: boolean, copier: TensorCopier) {
    this.#noMmap = noMmap;
    this.#copier = copier;
  }

  /**
   * Copies the state dict once into shared memory and describes it. `knownLayouts` are those that every rank keeps from earlier updates: none when
   * weights came from elsewhere since. `order` is asked for with a layout that is new.
   * @throws {TensorError} RANKCAST_MEMORY_FULL when there is no room, RANKCAST_TENSOR_META for tensors without bytes.
   */
  publish(stateDict: StateDict, knownLayouts: ReadonlyMap<string, unknown>, order: OrderWish): PublishedStateDict {
    const native = nativeMemory(this.#noMmap);
    if (native === null || process.platform !== "linux") return this.#publishOnce(stateDict);
    const turn = this.#turnOf(stateDict, native, order);
    const { layout, next, kept } = turn;
    const isKnown = knownLayouts.has(layout.id);
    if (!isKnown) kept.clear();
    const known = !isKnown ? "nothing" : kept.has(next) ? "set" : "layout";
    const { placed, setId } = layout.write(stateDict, next);
    const reuse = { layout: layout.id, set: setId, known } as const;
    return { manifest: known === "nothing" ? layout.manifest : NO_BYTES, placed: { ...placed, reuse } };
  }

  /** Whether a state dict like this one was published before and its layout is still here. */
  knows(stateDict: StateDict): boolean {
    const turns = this.#turn ? [this.#turn, ...this.#retired] : this.#retired;
    return turns.some(({ layout }) => layout.fits(stateDict));
  }

  /** Every rank has taken the last publication: the next one may overwrite the weights before it. */
  accepted(layoutId: string | undefined): void {
    const surplus = Math.max(0, this.#retired.length - (LAYOUTS_MAX - 1));
    for (const { layout } of this.#retired.splice(0, surplus)) layout.release();
    const turn = this.#turn;
    if (turn?.layout.id !== layoutId) return;
    turn?.kept.add(turn.next);
    if (turn) turn.next = (turn.next + 1) % SETS;
  }

  /** Gives all memory back. */
  release(): void {
    for (const { layout } of this.#retired.splice(0)) layout.release();
    this.#turn?.layout.release();
    this.#turn = null;
  }

  /** The layout that fits: the last one, one that a failed publication pushed aside, or a new one. */
  #turnOf(stateDict: StateDict, native: NativeMemory, order: OrderWish): Turn {
    const last = this.#turn;
    if (last?.layout.fits(stateDict)) return last;
    const earlier = this.#retired.findIndex(({ layout }) => layout.fits(stateDict));
    // Made before anything is given up: a state dict that is refused leaves the layout that replicas look at as it is.
    const turn = this.#retired.splice(earlier, earlier < 0 ? 0 : 1)[0] ?? {
      layout: new PublicationLayout(stateDict, (nbytes) => createRewritableSegment(nbytes, native), this.#copier, order),
      next: 0,
      kept: new Set<number>(),
    };
    if (last) this.#retired.push(last);
    this.#turn = turn;
    return turn;
  }

  /** Without mapping every rank reads for itself: there is nothing to keep. */
  #publishOnce(stateDict: StateDict): PublishedStateDict {
    const native = nativeMemory(this.#noMmap);
    const layout = new PublicationLayout(stateDict, (nbytes) => createMemorySegment(nbytes, native), this.#copier);
    this.#retired.push({ layout, next: 0, kept: new Set() });
    return { manifest: layout.manifest, placed: layout.write(stateDict, 0).placed };
  }
}
