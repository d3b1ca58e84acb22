import { ByteBudget } from "@rankcast/core/internal";
import { expect } from "chai";

const settle = () => new Promise(setImmediate);

describe("ByteBudget", () => {
  it("serves in order of arrival, small requests do not overtake large ones", async () => {
    const budget = new ByteBudget(10);
    const order: string[] = [];
    const first = await budget.take(8);
    const large = budget.take(9).then((release) => {
      order.push("large");
      return release;
    });
    const small = budget.take(1).then((release) => {
      order.push("small");
      return release;
    });
    await settle();
    expect(order).to.deep.equal([]);
    first();
    (await large)();
    (await small)();
    expect(order).to.deep.equal(["large", "small"]);
  });

  it("counts more than everything as everything, and a second release as none", async () => {
    const budget = new ByteBudget(10);
    const all = await budget.take(1000);
    const next = budget.take(10);
    all();
    all();
    const release = await next;
    let granted = false;
    const third = budget.take(1).then(() => {
      granted = true;
    });
    await settle();
    expect(granted).to.equal(false);
    release();
    await third;
  });
});
