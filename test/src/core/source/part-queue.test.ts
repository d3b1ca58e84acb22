import { ConnectionWindow, PartQueue } from "@rankcast/core/internal";
import { expect } from "chai";

describe("PartQueue", () => {
  it("hands out every missing byte once, in order, in parts of bounded size", () => {
    const MIB = 2 ** 20;
    const queue = new PartQueue(
      [
        { begin: 5, end: 40 * MIB },
        { begin: 50 * MIB, end: 50 * MIB + 3 },
      ],
      16 * MIB,
    );
    const asker = { rate: 0, connections: 4 };
    const parts: { begin: number; end: number }[] = [];
    for (let part = queue.next(asker); part !== null; part = queue.next(asker)) parts.push(part);
    expect(parts[0]).to.deep.equal({ begin: 5, end: 5 + Math.ceil((40 * MIB - 5 + 3) / 4) });
    for (const [index, part] of parts.entries()) {
      expect(part.end - part.begin).to.be.within(1, 16 * MIB);
      if (index > 0 && part.begin !== 50 * MIB) expect(part.begin).to.equal(parts[index - 1]?.end);
    }
    expect(parts.reduce((sum, part) => sum + part.end - part.begin, 0)).to.equal(40 * MIB - 5 + 3);
    expect(queue.isEmpty).to.equal(true);
  });

  it("gives fast connections larger parts, and a lone one all that is left", () => {
    const MIB = 2 ** 20;
    const queue = new PartQueue([{ begin: 0, end: 1000 * MIB }], 16 * MIB);
    const length = (rate: number, connections: number): number => {
      const part = queue.next({ rate, connections });
      return part === null ? 0 : (part.end - part.begin) / MIB;
    };
    expect(length(0, 1)).to.equal(16);
    expect(length((MIB * 40) / 250, 1)).to.equal(40);
    expect(length(MIB * 1000, 2)).to.equal(128);
    expect(length(MIB * 1000, 100)).to.be.closeTo(8.16, 0.01);
    expect([length(MIB * 1000, 1), queue.isEmpty]).to.deep.equal([128, false]);
    const small = new PartQueue([{ begin: 0, end: MIB }], MIB / 2);
    expect(small.next({ rate: MIB, connections: 1 })?.end).to.equal(MIB / 2);
  });
});

describe("ConnectionWindow", () => {
  it("grows while more brings more, then stays", () => {
    const window = new ConnectionWindow(8, 0);
    expect(window.allowed).to.equal(1);
    expect(window.received(100, 49)).to.equal(false);
    expect(window.received(100, 50)).to.equal(true);
    expect(window.allowed).to.equal(2);
    expect(window.received(100, 299)).to.equal(false);
    expect(window.received(1200, 300)).to.equal(true);
    expect(window.allowed).to.equal(4);
    window.received(2600, 550);
    expect(window.allowed).to.equal(8);
    window.received(90_000, 800);
    window.received(900_000, 1050);
    expect(window.allowed).to.equal(8);
    const flat = new ConnectionWindow(8, 0);
    flat.received(100, 50);
    flat.received(505, 300);
    flat.received(90_000, 550);
    expect(flat.allowed).to.equal(2);
  });

  it("does not grow while we are the slower side, and does as soon as we are not", () => {
    let saturated = true;
    const window = new ConnectionWindow(8, 0, () => ({ saturated }));
    const GIB = 2 ** 30;
    for (let ms = 50; ms <= 1000; ms += 50) expect(window.received(GIB / 20, ms)).to.equal(false);
    saturated = false;
    expect(window.received(GIB / 20, 1050)).to.equal(true);
    expect(window.allowed).to.equal(2);
    // At such a rate it is not the download that keeps this machine busy.
    saturated = true;
    const slow = new ConnectionWindow(8, 0, () => ({ saturated }));
    expect(slow.received(GIB / 400, 50)).to.equal(true);
  });

  it("halves when pushed back and grows no more", () => {
    const window = new ConnectionWindow(8, 0);
    window.received(100, 50);
    window.received(10_000, 300);
    window.pushedBack();
    expect(window.allowed).to.equal(2);
    window.received(99_999, 600);
    window.pushedBack();
    window.pushedBack();
    expect(window.allowed).to.equal(1);
  });
});
