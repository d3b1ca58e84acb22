/** Frames of a lane: however the bytes are split, the same frames come out. */
import { FrameLengthError, FrameReader, FrameWriter, LANE_MESSAGES, type RankMessage } from "@rankcast/proto";
import { expect } from "chai";
import fc from "fast-check";

const MAX = 2 ** 24;

function framed(...bodies: readonly Uint8Array[]): Buffer {
  const parts = bodies.flatMap((body) => {
    const head = Buffer.alloc(4);
    head.writeUInt32LE(body.length);
    return [head, body];
  });
  return Buffer.concat(parts);
}

/** Feeds `bytes` in pieces of these lengths, over and over, from memory that is used again for each. */
function read(bytes: Uint8Array, pieces: readonly number[]): Buffer[] {
  const frames: Buffer[] = [];
  const reader = new FrameReader(MAX, (frame) => frames.push(Buffer.from(frame)));
  const memory = Buffer.alloc(Math.max(...pieces));
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const count = Math.min(pieces[turn % pieces.length] ?? 1, bytes.length - at);
    memory.set(bytes.subarray(at, at + count));
    reader.feed(memory.subarray(0, count));
    memory.fill(0xee);
    at += count;
  }
  return frames;
}

describe("frames of a lane", () => {
  it("any split of the bytes gives the same frames", () => {
    const bodies = fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 8 });
    const pieces = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(bodies, pieces, (sent, split) => {
        expect(read(framed(...sent), split)).to.deep.equal(sent.map((body) => Buffer.from(body)));
      }),
    );
  });

  it("a frame that is longer than what it gets memory for at once comes whole, between its neighbours", () => {
    const long = Buffer.alloc(5 * 2 ** 20 + 3, "frame");
    const bodies = [Buffer.from("before"), long, Buffer.from("after")];
    for (const pieces of [[2 ** 16], [2 ** 21], [7, 2 ** 20 - 1]]) {
      const frames = read(framed(...bodies), pieces);
      expect(frames.map(({ length }) => length)).to.deep.equal(bodies.map(({ length }) => length));
      expect(frames.every((frame, at) => frame.equals(bodies[at] ?? Buffer.alloc(0)))).to.equal(true);
    }
  });

  it("an announced length takes no memory before its bytes come, and one above the bound is refused", () => {
    const head = Buffer.alloc(4);
    head.writeUInt32LE(MAX);
    const reader = new FrameReader(MAX, () => undefined);
    const before = process.memoryUsage().arrayBuffers;
    reader.feed(head);
    expect(process.memoryUsage().arrayBuffers - before).to.be.below(MAX / 8);
    head.writeUInt32LE(MAX + 1);
    const other = new FrameReader(MAX, () => undefined);
    other.feed(head.subarray(0, 3));
    expect(() => other.feed(head.subarray(3))).to.throw(FrameLengthError, `${MAX + 1}`);
  });

  it("carry messages, empty ones and those of a manifest alike", () => {
    const messages: RankMessage[] = [
      { type: "leave" },
      { type: "publication", sequence: 1, manifest: new Uint8Array(100_000).fill(7), placement: null },
    ];
    const frames = read(Buffer.concat(messages.map(LANE_MESSAGES.requestFrame)), [999]);
    expect(frames.map(LANE_MESSAGES.requestDeserialize)).to.deep.equal(messages);
    expect(read(framed(new Uint8Array(0)), [3])).to.have.length(1);
  });

  it("what is written in one turn goes out together, at its end, and nothing after the sink's", async () => {
    const did: string[] = [];
    const sink = {
      writable: true,
      cork: () => did.push("cork"),
      uncork: () => did.push("uncork"),
      write: (bytes: Uint8Array) => did.push(Buffer.from(bytes).toString()),
    };
    const writer = new FrameWriter(sink);
    writer.write(Buffer.from("a"));
    writer.write(Buffer.from("b"));
    await Promise.resolve().then(() => process.nextTick(() => undefined));
    await new Promise((resolve) => setImmediate(resolve));
    writer.write(Buffer.from("c"));
    await new Promise((resolve) => setImmediate(resolve));
    sink.writable = false;
    writer.write(Buffer.from("d"));
    expect(did).to.deep.equal(["cork", "a", "b", "uncork", "c"]);
  });

  it("writers of one turn are served together; one that is flushed before has sent what it had, once", async () => {
    const did: string[] = [];
    const writers = ["one", "two"].map(
      (name) =>
        new FrameWriter({
          writable: true,
          cork: () => undefined,
          uncork: () => undefined,
          write: (bytes: Uint8Array) => did.push(`${name} ${Buffer.from(bytes).toString()}`),
        }),
    );
    for (const writer of writers) writer.write(Buffer.from("a"));
    writers[1]?.flush();
    writers[1]?.write(Buffer.from("b"));
    expect(did).to.deep.equal(["two a"]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(did).to.deep.equal(["two a", "one a", "two b"]);
  });
});
