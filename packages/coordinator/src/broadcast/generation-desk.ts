/** What the coordinator asks of the generations that the filling thread keeps. */
import { createMemorySegment, type MemorySegment, type NativeMemory } from "@rankcast/core/runtime";
import type { KeptGenerations } from "./kept-generations.ts";
import type { EncodeCommand, GenerationCommand, ThreadMessage } from "./thread-message.ts";

/** Below this a difference saves less than the turn it takes. */
const WORTH_BYTES_MIN = 64 * 1024;

/** See the module comment. */
export class GenerationDesk {
  readonly #kept: KeptGenerations | null;
  readonly #native: NativeMemory | null;
  readonly #tell: (message: ThreadMessage) => void;
  /** Differences that wait to be sent, or are, by request. */
  readonly #encoded = new Map<number, MemorySegment>();

  constructor(kept: KeptGenerations | null, native: NativeMemory | null, tell: (message: ThreadMessage) => void) {
    this.#kept = kept;
    this.#native = native;
    this.#tell = tell;
  }

  /** Does what is asked. */
  take(command: GenerationCommand): void {
    switch (command.type) {
      case "encode":
        // What cannot be told as a difference travels whole; whatever is wrong with the memory shows there.
        this.#encode(command).catch(() => this.#tell({ type: "encoded", request: command.request, descriptor: null }));
        return;
      case "forgetEncoded":
        this.#encoded.get(command.request)?.release();
        this.#encoded.delete(command.request);
        return;
      case "retain":
        this.#kept?.retain(command.lineage, command.generations);
        return;
      case "drop":
        this.#kept?.drop(command.lineage, command.generation);
        return;
      case "forgetAll":
        this.close();
    }
  }

  /** Gives everything back. */
  close(): void {
    this.#kept?.close();
    for (const segment of this.#encoded.values()) segment.release();
    this.#encoded.clear();
  }

  async #encode({ request, place, source, base }: EncodeCommand): Promise<void> {
    const segmentBytes = source.descriptors.map(({ nbytes }) => nbytes);
    const lineage = this.#kept?.open(place, segmentBytes);
    if (base?.source) lineage?.hold(base.generation, base.source.id, base.source.descriptors);
    lineage?.hold(place.generation, source.id, source.descriptors);
    const isWorthIt = segmentBytes.reduce((sum, each) => sum + each, 0) >= WORTH_BYTES_MIN;
    const encoded = base && isWorthIt ? await lineage?.encode(place.generation, base.generation) : null;
    if (!encoded) {
      this.#tell({ type: "encoded", request, descriptor: null });
      return;
    }
    const segment = createMemorySegment(encoded.bytes.length, this.#native);
    new Uint8Array(segment.buffer).set(encoded.bytes);
    this.#encoded.set(request, segment);
    this.#tell({ type: "encoded", request, descriptor: segment.publish() });
  }
}
