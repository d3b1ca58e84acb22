/** Plain arrivals and decisions are read and written without the generated code, which must find the same in the same bytes. */
import { type Arrive, COORDINATION_SERVICE, type Decision, WireFormatError } from "@rankcast/proto";
import { expect } from "chai";
import fc from "fast-check";

const { requestSerialize, requestDeserialize, responseSerialize, responseDeserialize } = COORDINATION_SERVICE.join;

/** Field 100, which no message has: a decoder of the contract passes over it, the one for plain messages leaves what begins with it to that. */
const UNKNOWN_FIELD = Buffer.from([0xa0, 0x06, 0x00]);
const byGeneratedCode = (bytes: Uint8Array): Buffer => Buffer.concat([UNKNOWN_FIELD, bytes]);

const uint32 = fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 0xffff_ffff }));
const text = fc.oneof(
  fc.constantFrom("", "user/step", "round/prepared"),
  fc.string({ maxLength: 150 }),
  fc.string({ unit: "binary", maxLength: 20 }),
);
const arrival = fc.record({ barrier: text, generation: uint32, digest: text, timeoutMs: uint32 }).map(({ timeoutMs, ...rest }): Arrive => {
  return timeoutMs > 0 ? { type: "arrive", ...rest, timeoutMs } : { type: "arrive", ...rest };
});
const decision = fc.record({ type: fc.constant("decision" as const), barrier: text, generation: uint32, passed: fc.boolean() });

/** What a decoder makes of bytes. */
function outcome(read: (bytes: Buffer) => unknown, bytes: Buffer): unknown {
  try {
    return read(bytes);
  } catch (error) {
    if (error instanceof WireFormatError) return "no message";
    throw error;
  }
}

/** Bytes of a message with some of them replaced, left out or doubled. */
const damaged = (bytes: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> =>
  fc.tuple(bytes, fc.array(fc.tuple(fc.nat(40), fc.nat(255), fc.nat(2)), { maxLength: 3 })).map(([whole, changes]) => {
    const list = [...whole];
    for (const [at, byte, kept] of changes) list.splice(at, kept, byte);
    return Buffer.from(list);
  });

describe("plain barrier messages", () => {
  it("come back as they were, also by the generated code", () => {
    fc.assert(
      fc.property(arrival, decision, (arrive: Arrive, decided: Decision) => {
        for (const bytes of [requestSerialize(arrive), byGeneratedCode(requestSerialize(arrive))]) {
          expect(requestDeserialize(bytes)).to.deep.equal(arrive);
        }
        for (const bytes of [responseSerialize(decided), byGeneratedCode(responseSerialize(decided))]) {
          expect(responseDeserialize(bytes)).to.deep.equal(decided);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("mean what the generated code says, whatever the bytes", () => {
    const arrivals = damaged(arrival.map(requestSerialize));
    const decisions = damaged(decision.map(responseSerialize));
    fc.assert(
      fc.property(arrivals, decisions, (arrive, decided) => {
        expect(outcome(requestDeserialize, arrive)).to.deep.equal(outcome(requestDeserialize, byGeneratedCode(arrive)));
        expect(outcome(responseDeserialize, decided)).to.deep.equal(outcome(responseDeserialize, byGeneratedCode(decided)));
      }),
      { numRuns: 5000 },
    );
  });
});
