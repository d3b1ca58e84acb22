import { SilenceWatch } from "@rankcast/core/internal";
import { expect } from "chai";
import { LyingServer } from "../../support/lying-server.ts";

describe("SilenceWatch", () => {
  it("does not take a blocked event loop for silence", async () => {
    const server = await LyingServer.start((_, response) => response.end("x"));
    let fired = false;
    const watch = new SilenceWatch(50, () => {
      fired = true;
    });
    const { get } = await import("node:http");
    const answered = new Promise<void>((resolve) => {
      get(server.url, (response) => {
        watch.pause();
        response.resume();
        resolve();
      });
    });
    watch.await();
    // The answer comes from this process too, so the block begins when the request is already answered.
    await new Promise<void>((resolve) => {
      const inner = server.handler;
      server.handler = (request, response, index) => {
        inner(request, response, index);
        response.on("finish", () => {
          const until = performance.now() + 120;
          while (performance.now() < until);
          resolve();
        });
      };
    });
    await answered;
    expect(fired).to.equal(false);
    watch.await();
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(fired).to.equal(true);
    watch.close();
    await server.close();
  });
});
