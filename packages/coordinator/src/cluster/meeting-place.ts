/** How nodes that share a machine find their head without being told: it leaves its address and a token in the user's private directory. */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isAbandoned, isMeetingDirectory, meetingName, meetingPath, type OwnedDirectory, ownDirectory } from "@rankcast/core/runtime";

/** Where the head is, and what proves that one may talk to it. */
export interface HeadNotice {
  readonly address: string;
  readonly token: string;
}

/** See the module comment. */
export class MeetingPlace {
  readonly #path: string;
  #owned: OwnedDirectory | null = null;

  /** `parts` are what the nodes of one job, and no others, have in common. */
  constructor(runtimeDirectory: string | undefined, parts: readonly (string | number)[]) {
    this.#path = meetingPath(runtimeDirectory, meetingName(["head", ...parts]));
  }

  /**
   * Leaves the notice, in one step. It goes away with this process, however that ends.
   * @throws {UsageError} RANKCAST_USAGE when the directory is somebody else's or cannot be made.
   */
  leave(notice: HeadNotice): void {
    this.#owned ??= ownDirectory(this.#path);
    const path = join(this.#path, "head");
    writeFileSync(`${path}.new`, JSON.stringify(notice), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  /**
   * The notice; null while there is none.
   * @throws {UsageError} RANKCAST_USAGE when the directory is somebody else's: waiting would not help.
   */
  read(): HeadNotice | null {
    if (!isMeetingDirectory(this.#path)) return null;
    try {
      if (isAbandoned(this.#path)) return null;
      const { address, token } = JSON.parse(readFileSync(join(this.#path, "head"), "utf8")) as HeadNotice;
      return { address, token };
    } catch {
      // Not there yet, or just taken away.
      return null;
    }
  }

  /** Takes away what this process has left. */
  clear(): void {
    this.#owned?.leave();
    this.#owned = null;
  }
}
