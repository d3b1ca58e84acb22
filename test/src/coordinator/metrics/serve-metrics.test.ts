/** Metrics as a scraper sees them: of a coordinator whose ranks load, update and publish. */
import { startCoordinator } from "@rankcast/coordinator";
import { StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";
import { expect } from "chai";
import { createReplica } from "../../scenario/replicas/fixture-model.js";
import { expectError } from "../../support/expect-error.js";
import { FIXTURES } from "../../support/fixtures.js";

/** Samples by name and labels. */
async function scrape(url: string): Promise<Map<string, number>> {
  const response = await fetch(url);
  expect(response.status).to.equal(200);
  expect(response.headers.get("content-type")).to.contain("text/plain");
  const lines = (await response.text()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]));
}

describe("coordinator: metrics", function () {
  this.timeout(60_000);

  it("counts what happens, with names and labels that stay the same", async () => {
    await using coordinator = await startCoordinator({ worldSize: 1, jobId: "metrics", metricsPort: 0 });
    const url = coordinator.metricsUrl ?? "";
    expect(url).to.match(/^http:\/\/127\.0\.0\.1:\d+\/metrics$/);
    expect((await scrape(url)).get("rankcast_generation")).to.equal(-1);
    const environment = { RANKCAST_RANK: "0", RANKCAST_WORLD_SIZE: "1", RANKCAST_JOB_ID: "metrics" };
    const group = await joinGroup({ environment, coordinator: coordinator.address, token: coordinator.token });
    const model = createReplica();
    await group.loadModelCheckpoint(model, `${FIXTURES}accepted/torch-zip/state_dict_t213.pt`, { strict: true });
    await group.broadcastStateDict(model.stateDict());
    await expectError(
      "RANKCAST_STATE_DICT_NOTHING_MATCHED",
      group.broadcastStateDict(new StateDict([["nobody", Tensor.from(new Float32Array(1), [1])]])),
    );
    let taken: (() => void) | undefined;
    const whenTaken = new Promise<void>((resolve) => {
      taken = resolve;
    });
    group.subscribe(model, { onUpdate: () => taken?.() });
    await group.publish(model.stateDict(), { version: "secret label" });
    await whenTaken;
    await group.barrier();
    const samples = await scrape(url);
    expect(samples.get("rankcast_generation")).to.equal(1);
    expect(samples.get('rankcast_rounds_total{result="ok"}')).to.equal(2);
    expect(samples.get('rankcast_rounds_total{result="error"}')).to.equal(1);
    expect(samples.get('rankcast_ranks_total{event="joined"}')).to.equal(1);
    expect(samples.get("rankcast_round_seconds_count")).to.equal(2);
    expect(samples.get("rankcast_publications_total")).to.equal(1);
    expect(samples.get("rankcast_subscription_behind_max")).to.equal(0);
    expect(samples.get('rankcast_build_info{version="0.1.0"}')).to.equal(1);
    // Labels come from a fixed set: nothing that a job names is one.
    expect([...samples.keys()].join("\n")).to.not.match(/secret|metrics|state_dict|pid/);
    expect((await fetch(url.replace("/metrics", "/"))).status).to.equal(404);
    expect((await fetch(url, { method: "POST" })).status).to.equal(404);
    await group.close();
  });

  it("a port that is taken is a typed error, and nothing is left listening", async () => {
    await using first = await startCoordinator({ worldSize: 1, metricsPort: 0 });
    const port = Number(new URL(first.metricsUrl ?? "").port);
    await expectError("RANKCAST_COORDINATOR_UNREACHABLE", startCoordinator({ worldSize: 1, metricsPort: port }));
  });
});
