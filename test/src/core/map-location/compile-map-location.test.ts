/** Section E of the semantics table: map_location. */
import { compileMapLocation, parseDeviceTag, registerDevice } from "@rankcast/core/internal";
import { expect } from "chai";
import { failureOf } from "../module/models.ts";

const STORAGES = ["cpu", "cuda:0", "cuda:2", "mps", "npu:1"].map((savedDevice, at) => ({ savedDevice, nbytes: at }));

function devicesOf(spec: Parameters<typeof compileMapLocation>[0]): string[] {
  return compileMapLocation(spec)
    .locate(STORAGES)
    .map(({ device }) => device);
}

function refusal(spec: unknown): string {
  const error = failureOf(() => compileMapLocation(spec as string));
  expect(error).to.include({ code: "RANKCAST_MAP_LOCATION" });
  return error.message;
}

describe("mapLocation", () => {
  it("A9, E1: without a rule every storage goes to the CPU, whatever its tag", () => {
    for (const spec of [undefined, null, {}]) expect(devicesOf(spec)).to.deep.equal(["cpu", "cpu", "cpu", "cpu", "cpu"]);
  });

  it("E2: a device takes all storages; cpu:0 is the CPU", () => {
    expect(new Set(devicesOf("cpu"))).to.deep.equal(new Set(["cpu"]));
    expect(new Set(devicesOf("cpu:0"))).to.deep.equal(new Set(["cpu"]));
    expect(compileMapLocation("shared").locate(STORAGES)[1]).to.deep.equal({ device: "shared", memory: "shared" });
  });

  it("E2: unknown devices are refused with torch's sentence and the list of known ones", () => {
    const known = "known devices: cpu, cpu:N, meta, shared";
    for (const tag of ["CPU", "foo", "", "cuda:", "cuda:-1", "cpu:x"]) {
      expect(refusal(tag)).to.equal(
        `don't know how to restore data location of torch.storage.UntypedStorage (tagged with ${tag}); ${known}`,
      );
    }
    expect(refusal("foo5")).to.include("don't know how to restore");
    expect(refusal("cuda5")).to.equal(`Invalid device string: 'cuda5'; ${known}`);
    expect(refusal("cuda:0")).to.equal(`Attempting to deserialize object on a CUDA device but there is none here; ${known}`);
    expect(refusal("meta:1")).to.include(known);
  });

  it("E3: a table matches exact tags, then the longest pattern, then the default", () => {
    expect(devicesOf({ cuda: "shared" })).to.deep.equal(["cpu", "cpu", "cpu", "cpu", "cpu"]);
    expect(devicesOf({ "cuda:2": "shared" })).to.deep.equal(["cpu", "cpu", "shared", "cpu", "cpu"]);
    expect(devicesOf({ "*": "meta", "cuda:*": "shared", "cuda:2": "cpu" })).to.deep.equal(["meta", "shared", "cpu", "meta", "meta"]);
    expect(devicesOf(new Map([["__proto__", "meta"]]))).to.deep.equal(["cpu", "cpu", "cpu", "cpu", "cpu"]);
    expect(refusal({ "cuda:0": "cuda:1" })).to.include("known devices");
    expect(refusal({ "cuda:0": 3 })).to.include('not "cuda:0" to number');
  });

  it("E4: a function is called once per storage with storage and tag; null leaves the default", () => {
    const calls: unknown[] = [];
    const devices = devicesOf((storage, tag) => {
      calls.push([storage, tag]);
      return tag === "mps" ? "shared" : tag === "cpu" ? undefined : null;
    });
    expect(devices).to.deep.equal(["cpu", "cpu", "cpu", "shared", "cpu"]);
    expect(calls).to.deep.equal(STORAGES.map((storage) => [storage, storage.savedDevice]));
  });

  it("E4: what is neither device nor table nor function is refused up front, a wrong answer when it comes", () => {
    expect(refusal(3)).to.equal("mapLocation must be a device, a table or a function, not number");
    expect(refusal(["cpu"])).to.include("not an array");
    expect(refusal(new Uint8Array(3))).to.include("mapLocation must be");
    const answers = compileMapLocation((() => 5) as unknown as () => string);
    expect(failureOf(() => answers.locate(STORAGES)).message).to.equal("the mapLocation function must return a device or null, not number");
  });

  it("E5: meta needs headers only", () => {
    const meta = compileMapLocation("meta");
    expect(meta.headersOnly).to.equal(true);
    expect(meta.locate(STORAGES)[0]).to.deep.equal({ device: "meta", memory: "none" });
    for (const spec of ["cpu", { "*": "meta" }, () => "meta"]) expect(compileMapLocation(spec).headersOnly).to.equal(false);
    expect(
      compileMapLocation({ "*": "meta" })
        .locate(STORAGES)
        .every(({ memory }) => memory === "none"),
    ).to.equal(true);
  });

  it("E6: every tag that torch writes is recognised", () => {
    expect(
      ["cpu", "cuda:3", "mps", "meta", "hpu:0", "xpu:1", "mtia:2", "privateuse1:0", "npu:7"].map((tag) => parseDeviceTag(tag)),
    ).to.deep.equal([
      { type: "cpu", index: null },
      { type: "cuda", index: 3 },
      { type: "mps", index: null },
      { type: "meta", index: null },
      { type: "hpu", index: 0 },
      { type: "xpu", index: 1 },
      { type: "mtia", index: 2 },
      { type: "privateuse1", index: 0 },
      { type: "npu", index: 7 },
    ]);
    expect(["CPU", "cuda:", "cuda:01", "", "cuda:-1"].map((tag) => parseDeviceTag(tag))).to.deep.equal([null, null, null, null, null]);
  });

  it("adapters may register devices and take them away", () => {
    expect(failureOf(() => registerDevice("cpu")).message).to.include('add "force: true"');
    expect(failureOf(() => registerDevice("Web GPU")).message).to.include("is no name for a device");
    const dispose = registerDevice("webgpu", { memory: "replica" });
    expect(devicesOf({ "cuda:*": "webgpu:1" })).to.deep.equal(["cpu", "webgpu:1", "webgpu:1", "cpu", "cpu"]);
    dispose();
    expect(refusal("webgpu")).to.include("known devices: cpu, cpu:N, meta, shared");
  });
});
