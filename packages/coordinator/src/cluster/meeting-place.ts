/** How nodes that share a machine find their head without being told: it leaves its address and a token in the user's private directory. */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { meetingDirectory, meetingName } from "@rankcast/core/runtime";

/** Where the head is, and what proves that one may talk to it. */
export interface HeadNotice {
  readonly address: string;
  readonly token: string;
}

/** See the module comment. */
export class MeetingPlace {
  readonly #directory: () => string;

  /** `parts` are what the nodes of one job, and no others, have in common. */
  constructor(runtimeDirectory: string | undefined, parts: readonly (string | number)[]) {
    this.#directory = () => meetingDirectory(runtimeDirectory, meetingName(["head", ...parts]));
  }

  /** Leaves the notice, in one step. */
  leave(notice: HeadNotice): void {
    const path = join(this.#directory(), "head");
    writeFileSync(`${path}.new`, JSON.stringify(notice), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  /** The notice; null while there is none. */
  read(): HeadNotice | null {
    try {
      const { address, token } = JSON.parse(readFileSync(join(this.#directory(), "head"), "utf8")) as HeadNotice;
      return { address, token };
    } catch {
      return null;
    }
  }

  /** Takes it away. */
  clear(): void {
    rmSync(this.#directory(), { recursive: true, force: true });
  }
}
