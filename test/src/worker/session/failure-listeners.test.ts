/** Listeners that can stop: rounds by the thousand leave nothing on a promise that stays open. */
import { FailureListeners } from "@rankcast/worker/internal";
import { expect } from "chai";

describe("FailureListeners", () => {
  it("follows a promise once, and tells only who still listens", async () => {
    const listeners = new FailureListeners();
    let reject: ((error: unknown) => void) | undefined;
    let opened = 0;
    const open = (): Promise<unknown> => {
      opened += 1;
      return new Promise((_, fail) => {
        reject = fail;
      });
    };
    const heard: string[] = [];
    for (let round = 0; round < 1000; round += 1) listeners.on("prepared", open, () => heard.push("a round that is over"))();
    listeners.on("prepared", open, (error) => heard.push(String(error)));
    expect(opened).to.equal(1);
    reject?.("lost");
    await Promise.resolve().then(() => undefined);
    expect(heard).to.deep.equal(["lost"]);
    listeners.on("prepared", open, () => undefined);
    expect(opened, "the next generation is another promise").to.equal(2);
  });
});
