/** Several threads and the one that asks compute together what zlib says, whatever becomes of the threads. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";
import { ChecksumCrew } from "@rankcast/core/internal";
import { expect } from "chai";

const MIB = 2 ** 20;
/** Portions are of 2 MiB: less, as much, more, much more, and nothing. */
const SIZES = [1, 0, 3, 1000, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 5 * MIB, 70_000, 9 * MIB + 17, 64, 64, 64];

interface Run {
  readonly buffer: SharedArrayBuffer;
  readonly byteOffset: number;
  readonly nbytes: number;
}

/** Runs that follow one another in two buffers, with a gap between them. */
function runsOf(sizes: readonly number[]): Run[] {
  const buffers = [0, 1].map(() => new SharedArrayBuffer(sizes.reduce((sum, size) => sum + size + 3, 0)));
  for (const buffer of buffers) new Uint8Array(buffer).set(randomBytes(buffer.byteLength));
  let byteOffset = 0;
  return sizes.map((nbytes, index) => {
    const run = { buffer: buffers[index % 2] as SharedArrayBuffer, byteOffset, nbytes };
    byteOffset += nbytes + 3;
    return run;
  });
}

const expected = (runs: readonly Run[]): number[] =>
  runs.map(({ buffer, byteOffset, nbytes }) => crc32(new Uint8Array(buffer, byteOffset, nbytes)));

describe("ChecksumCrew", function () {
  this.timeout(60_000);

  for (const threads of [0, 1, 3]) {
    it(`computes what zlib does, with ${threads} threads`, async () => {
      const crew = new ChecksumCrew();
      crew.start(threads);
      await crew.ready();
      expect(crew.size).to.equal(threads);
      const runs = runsOf(SIZES);
      expect(await crew.compute(runs)).to.deep.equal(expected(runs));
      expect(await crew.compute([])).to.deep.equal([]);
      await crew.close();
      expect(crew.size).to.equal(0);
    });
  }

  it("does several works at a time", async () => {
    const crew = new ChecksumCrew();
    crew.start(2);
    await crew.ready();
    const works = [runsOf(SIZES), runsOf([30 * MIB]), runsOf(SIZES), runsOf([5])];
    expect(await Promise.all(works.map((runs) => crew.compute(runs)))).to.deep.equal(works.map(expected));
    await crew.close();
  });

  it("does not wait for threads that are not there yet, or end in the middle", async () => {
    const crew = new ChecksumCrew();
    crew.start(2);
    const runs = runsOf([...SIZES, 40 * MIB]);
    expect(await crew.compute(runs), "none has started").to.deep.equal(expected(runs));
    await crew.ready();
    const [found] = await Promise.all([crew.compute(runs), crew.close()]);
    expect(found, "all are ended").to.deep.equal(expected(runs));
    expect(await crew.compute(runs), "none is left").to.deep.equal(expected(runs));
  });

  for (const computes of [false, true]) {
    it(`keeps no process alive that has nothing else to do (${computes ? "after work" : "idle"})`, () => {
      const program = `
        const { ChecksumCrew } = await import(${JSON.stringify(import.meta.resolve("@rankcast/core/internal"))});
        const crew = new ChecksumCrew();
        crew.start(1);
        if (${computes}) {
          const other = setInterval(() => undefined, 1000);
          await crew.ready();
          clearInterval(other);
          await crew.compute([{ buffer: new SharedArrayBuffer(${10 * MIB}), byteOffset: 0, nbytes: ${10 * MIB} }]);
        }
        process.stdout.write("at its end");
      `;
      // Killed, it would be an error.
      const said = execFileSync(process.execPath, ["--input-type=module", "--eval", program], { encoding: "utf8", timeout: 30_000 });
      expect(said).to.equal("at its end");
    });
  }

  it("lets the event loop turn, and rejects with the signal's reason when nobody looks at the memory any more", async () => {
    const crew = new ChecksumCrew();
    const runs = runsOf([64 * MIB]);
    const stop = new AbortController();
    const reason = new Error("enough");
    let turns = 0;
    const turn = (): void => {
      turns += 1;
      if (turns === 5) stop.abort(reason);
      else setImmediate(turn);
    };
    setImmediate(turn);
    const thrown: unknown = await crew.compute(runs, stop.signal).catch((error: unknown) => error);
    expect(thrown).to.equal(reason);
    expect(turns).to.equal(5);
  });
});
