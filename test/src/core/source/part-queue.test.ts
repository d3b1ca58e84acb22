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
      4,
    );
    const parts: { begin: number; end: number }[] = [];
    for (let part = queue.next(); part !== null; part = queue.next()) parts.push(part);
    expect(parts[0]).to.deep.equal({ begin: 5, end: 5 + Math.ceil((40 * MIB - 5 + 3) / 4) });
    for (const [index, part] of parts.entries()) {
      expect(part.end - part.begin).to.be.within(1, 16 * MIB);
      if (index > 0 && part.begin !== 50 * MIB) expect(part.begin).to.equal(parts[index - 1]?.end);
    }
    expect(parts.reduce((sum, part) => sum + part.end - part.begin, 0)).to.equal(40 * MIB - 5 + 3);
    expect(queue.isEmpty).to.equal(true);
  });
});

describe("ConnectionWindow", () => {
  it("grows while more brings more, then stays", () => {
    const window = new ConnectionWindow(8, 0);
    expect(window.allowed).to.equal(2);
    expect(window.received(100, 100)).to.equal(false);
    expect(window.received(100, 250)).to.equal(true);
    expect(window.allowed).to.equal(4);
    window.received(500, 500);
    expect(window.allowed).to.equal(8);
    window.received(900, 750);
    window.received(9000, 1000);
    expect(window.allowed).to.equal(8);
    const flat = new ConnectionWindow(8, 0);
    flat.received(100, 250);
    flat.received(105, 500);
    flat.received(900, 750);
    expect(flat.allowed).to.equal(4);
  });

  it("halves when pushed back and grows no more", () => {
    const window = new ConnectionWindow(8, 0);
    window.received(100, 250);
    window.pushedBack();
    expect(window.allowed).to.equal(2);
    window.received(9999, 600);
    window.pushedBack();
    window.pushedBack();
    expect(window.allowed).to.equal(1);
  });
});
