/** Leases on published weights: transcripts, and what must hold under every order of events. */
import { createLeaseState, type LeaseEvent, type LeaseInstruction, type LeaseState, stepLeases } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";

const publish = (offer: number): LeaseEvent => ({ type: "publish", rank: 0, offer, version: `v${offer}` });
const subscribe = (rank: number, policy: "latest" | "every" = "latest"): LeaseEvent => ({ type: "subscribe", rank, id: 0, policy });
const taken = (rank: number, number: number, beside: readonly number[] = []): LeaseEvent => ({
  type: "taken",
  rank,
  id: 0,
  number,
  beside,
});

/** Runs the events; one line per instruction. */
function transcript(...events: readonly LeaseEvent[]): string[][] {
  let state = createLeaseState();
  return events.map((event) => {
    const next = stepLeases(state, event);
    state = next.state;
    return next.instructions.map(lineOf);
  });
}

function lineOf(instruction: LeaseInstruction): string {
  if (instruction.type === "free") return `free ${instruction.offer}`;
  const number = instruction.type === "offer" ? instruction.publication.number : instruction.number;
  return `${instruction.type} ${number} to ${instruction.rank}`;
}

describe("leases on published weights", () => {
  it("latest: a slow subscriber skips versions, and what it skips is free at once", () => {
    expect(transcript(subscribe(1), publish(1), publish(2), publish(3), taken(1, 1), taken(1, 3))).to.deep.equal([
      [],
      ["offer 1 to 1"],
      ["newest 2 to 1"],
      ["newest 3 to 1", "free 2"],
      ["offer 3 to 1"],
      ["free 1"],
    ]);
  });

  it("every: all versions in order", () => {
    expect(transcript(subscribe(1, "every"), publish(1), publish(2), publish(3), taken(1, 1), taken(1, 2), taken(1, 3))).to.deep.equal([
      [],
      ["offer 1 to 1"],
      ["newest 2 to 1"],
      ["newest 3 to 1"],
      ["offer 2 to 1"],
      ["offer 3 to 1", "free 1"],
      ["free 2"],
    ]);
  });

  it("a version is free only when the last of several has let go", () => {
    expect(
      transcript(subscribe(1), subscribe(2), publish(1), taken(1, 1), publish(2), taken(1, 2), taken(2, 1), taken(2, 2)).slice(4),
    ).to.deep.equal([["offer 2 to 1", "newest 2 to 2"], [], ["offer 2 to 2"], ["free 1"]]);
  });

  it("who comes late gets the newest; without subscribers only the newest is kept", () => {
    expect(transcript(publish(1), publish(2), subscribe(1))).to.deep.equal([[], ["free 1"], ["offer 2 to 1"]]);
  });

  it("a subscriber that ends, in order or not, holds nothing", () => {
    const gone: LeaseEvent = { type: "gone", rank: 1 };
    const unsubscribe: LeaseEvent = { type: "unsubscribe", rank: 1, id: 0 };
    for (const end of [gone, unsubscribe]) {
      expect(transcript(subscribe(1), publish(1), publish(2), end)).to.deep.equal([[], ["offer 1 to 1"], ["newest 2 to 1"], ["free 1"]]);
    }
  });

  it("a version that was not offered cannot be taken: a late message changes nothing", () => {
    expect(transcript(subscribe(1), publish(1), taken(1, 1), taken(1, 1), taken(1, 9), taken(2, 1)).slice(3)).to.deep.equal([[], [], []]);
  });

  it("versions that are used beside another are held with it, and only those that were held", () => {
    const events = [
      taken(1, 1),
      publish(2),
      taken(1, 2, [1]),
      publish(3),
      taken(1, 3, [1, 2]),
      publish(4),
      taken(1, 4, [2, 9]),
      publish(5),
      taken(1, 5),
    ];
    expect(transcript(subscribe(1), publish(1), ...events).slice(2)).to.deep.equal([
      [],
      ["offer 2 to 1"],
      [],
      ["offer 3 to 1"],
      [],
      ["offer 4 to 1"],
      ["free 1", "free 3"],
      ["offer 5 to 1"],
      ["free 2", "free 4"],
    ]);
  });

  it("under every order of events: what is used is never freed, what is freed was published and is freed once, little is kept", () => {
    const event = fc.oneof(
      fc.constant("publish" as const),
      fc.record({
        rank: fc.integer({ min: 1, max: 4 }),
        type: fc.constantFrom("subscribe", "unsubscribe", "gone", "taken"),
        isPartial: fc.boolean(),
      }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 80 }), (steps) => {
        let state = createLeaseState();
        let offer = 0;
        const freed = new Set<number>();
        for (const step of steps) {
          const next = stepLeases(state, step === "publish" ? publish(++offer) : eventOf(step, state));
          state = next.state;
          for (const instruction of next.instructions) if (instruction.type === "free") note(freed, instruction.offer, offer);
          const used = [...state.subscriptions.values()].flatMap(({ held, beside, offered, queue }) => [
            held,
            ...beside,
            offered,
            ...queue,
          ]);
          for (const number of used) if (number !== null) expect(freed.has(number), `${number} is used and free`).to.equal(false);
          const beside = [...state.subscriptions.values()].reduce((sum, each) => sum + each.beside.length, 0);
          expect(state.publications.size).to.be.at.most(3 * state.subscriptions.size + beside + 1);
          // Nothing waits while a subscriber has time for it.
          for (const { offered, queue } of state.subscriptions.values()) expect(offered === null && queue.length > 0).to.equal(false);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

function eventOf(step: { readonly rank: number; readonly type: string; readonly isPartial: boolean }, state: LeaseState): LeaseEvent {
  if (step.type === "subscribe") return subscribe(step.rank);
  if (step.type === "taken") {
    const { held = null, beside = [], offered = null } = state.subscriptions.get(`${step.rank}/0`) ?? {};
    return taken(step.rank, offered ?? 0, step.isPartial && held !== null ? [held, ...beside].slice(0, 2) : []);
  }
  return step.type === "gone" ? { type: "gone", rank: step.rank } : { type: "unsubscribe", rank: step.rank, id: 0 };
}

function note(freed: Set<number>, offer: number, last: number): void {
  expect(freed.has(offer) || offer > last, `offer ${offer} was freed twice or never made`).to.equal(false);
  freed.add(offer);
}
