/** The connections of the link that a receiver pulls over: which are open, and when one that broke is opened again. */
import type { ChunkSet } from "./chunk-set.ts";
import type { ReceiverInstruction } from "./receiver-event.ts";
import { type ReceiverState, wantedChunks } from "./receiver-state.ts";

interface LinkDraft {
  state: ReceiverState;
  readonly nowMs: number;
  readonly instructions: ReceiverInstruction[];
}

const REOPEN_MS = 50;
const REOPEN_MS_MAX = 2000;
/** A connection that broke so often in a row is not opened again: the link goes on with those that it has. */
const BREAKS_MAX = 6;

/** Has all connections of a new link opened. */
export function openLink(draft: LinkDraft, source: number, want: ChunkSet): void {
  const connections = Array.from({ length: draft.state.options.connections }, (_, connection) => connection);
  draft.state = { ...draft.state, link: { open: new Set(connections), next: connections.length, breaks: 0, reopenMs: null } };
  draft.instructions.push({ type: "pull", source, connections, want });
}

/**
 * One connection is over. False: it was the last, and the link is over with it. While another lives the link goes on: the source hears what is
 * missing, and the connection is opened again, the first time at once.
 */
export function loseConnection(draft: LinkDraft, source: number, connection: number): boolean {
  const { link } = draft.state;
  const open = new Set(link.open);
  open.delete(connection);
  if (open.size === 0) return false;
  const breaks = link.breaks + 1;
  const pauseMs = breaks === 1 ? 0 : Math.min(REOPEN_MS * 2 ** (breaks - 2), REOPEN_MS_MAX);
  draft.state = { ...draft.state, link: { ...link, open, breaks, reopenMs: breaks > BREAKS_MAX ? null : draft.nowMs + pauseMs } };
  draft.instructions.push({ type: "reask", source, connection, missing: wantedChunks(draft.state) });
  reopenIfDue(draft, source);
  return true;
}

/** Opens a connection again whose time has come. */
export function reopenIfDue(draft: LinkDraft, source: number): void {
  const { link, options } = draft.state;
  if (link.reopenMs === null || draft.nowMs < link.reopenMs) return;
  const want = wantedChunks(draft.state);
  let { next } = link;
  const open = new Set(link.open);
  for (; open.size < options.connections; next += 1) {
    open.add(next);
    draft.instructions.push({ type: "connect", source, connection: next, want });
  }
  draft.state = { ...draft.state, link: { ...link, open, next, reopenMs: null } };
}

/** A chunk came over a connection: if it is one that was opened again, it works. */
export function praiseConnection(draft: LinkDraft, connection: number): void {
  const { link, options } = draft.state;
  if (link.breaks > 0 && connection >= options.connections && link.open.has(connection)) {
    draft.state = { ...draft.state, link: { ...link, breaks: 0 } };
  }
}
