/** What the receiver remembers of its sources, and whom it goes back to. */
import type { ReceiverState, SourceRecord } from "./receiver-state.ts";

interface SourceDraft {
  state: ReceiverState;
  readonly nowMs: number;
}

const UNTRIED: SourceRecord = { breaks: 0, retryMs: 0, reason: null, changes: 0, returnMs: 0 };
/** A source that was left is asked after this time, doubled each time it was left, whether it is ahead again. */
const RETURN_MS = 1000;

/** Remembers to ask this source later whether it is ahead again: one change too many must not turn a chain into a star for good. */
export function leave(draft: SourceDraft, source: number): void {
  const record = recordOf(draft.state, source);
  const changes = record.changes + 1;
  const returnMs = draft.nowMs + RETURN_MS * 2 ** (changes - 1);
  draft.state = { ...draft.state, records: new Map(draft.state.records).set(source, { ...record, changes, returnMs }) };
}

/**
 * Leaves `before` for `source`. Better placed nodes in between, which did not answer in time, are remembered as well: one of them has been slow for a
 * moment, not dead, more often than not, and a node that stays with the owner while the chain goes on takes half of the owner's link from it.
 */
export function passOver(draft: SourceDraft, before: number, source: number): void {
  leave(draft, before);
  const { sources } = draft.state.options;
  for (const each of sources.slice(0, Math.max(0, sources.indexOf(source)))) {
    if (recordOf(draft.state, each).changes === 0) leave(draft, each);
  }
}

/** It is not ahead yet: asking is cheap. */
export function askAgain(draft: SourceDraft, source: number): void {
  const record = recordOf(draft.state, source);
  draft.state = { ...draft.state, records: new Map(draft.state.records).set(source, { ...record, returnMs: draft.nowMs + RETURN_MS }) };
}

/** The better placed source that was left and is to be asked next, and when. */
export function returnOf({ options, source, records }: ReceiverState): { readonly source: number; readonly dueMs: number } | null {
  let soonest: { source: number; dueMs: number } | null = null;
  for (const each of options.sources) {
    if (each === source) break;
    const record = records.get(each);
    if (record && record.changes > 0 && (soonest === null || record.returnMs < soonest.dueMs))
      soonest = { source: each, dueMs: record.returnMs };
  }
  return soonest;
}

/** What is known of a source. */
export function recordOf({ records }: ReceiverState, source: number): SourceRecord {
  return records.get(source) ?? UNTRIED;
}
