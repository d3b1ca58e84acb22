/** Manifests of the layouts of the last updates, which are left out when they come again. */
import { DistributionError } from "@rankcast/core";
import type { SegmentReuse, StateDictManifest } from "@rankcast/core/runtime";

/** As many as ranks keep. */
export const LAYOUTS_MAX = 2;

/** See the module comment. */
export class KnownLayouts {
  readonly #manifests = new Map<string, StateDictManifest>();

  /** What an update's layout says. @throws {DistributionError} RANKCAST_PROTOCOL for one whose manifest never came. */
  manifestOf(reuse: SegmentReuse | undefined): StateDictManifest {
    const manifest = reuse && this.#manifests.get(reuse.layout);
    if (manifest) return manifest;
    throw new DistributionError("RANKCAST_PROTOCOL", "a publication without a manifest is of an unknown layout", {});
  }

  /** An update of this layout comes; the one that came longest ago is forgotten. */
  keep({ layout }: SegmentReuse, manifest: StateDictManifest): void {
    this.#manifests.delete(layout);
    this.#manifests.set(layout, manifest);
    const [oldest] = this.#manifests.keys();
    if (this.#manifests.size > LAYOUTS_MAX && oldest !== undefined) this.#manifests.delete(oldest);
  }
}
