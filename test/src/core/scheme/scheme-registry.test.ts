import { StateDict } from "@rankcast/core";
import { type SchemeLoader, SchemeRegistry } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";

const loader =
  (name: string): SchemeLoader =>
  () =>
    Object.assign(new StateDict(), { name });

describe("SchemeRegistry", () => {
  it("A4: selects as mmengine's 15 cases ask", () => {
    const registry = new SchemeRegistry();
    registry.register("", loader(""), { name: "local" });
    registry.register(["http://", "https://"], loader(""), { name: "http" });
    registry.register("pavi://", loader(""), { name: "pavi" });
    registry.register([/(\S+:)?s3:\/\//, /(\S+:)?petrel:\/\//], loader(""), { name: "ceph" });
    registry.register(["modelzoo://", "torchvision://"], loader(""), { name: "torchvision" });
    registry.register(["open-mmlab://", "openmmlab://"], loader(""), { name: "openmmlab" });
    registry.register("mmcls://", loader(""), { name: "mmcls" });
    const cases: [string, string][] = [
      ["http://xx.xx/xx.pth", "http"],
      ["https://xx.xx/xx.pth", "http"],
      ["modelzoo://xx.xx/xx.pth", "torchvision"],
      ["torchvision://xx.xx/xx.pth", "torchvision"],
      ["open-mmlab://xx.xx/xx.pth", "openmmlab"],
      ["openmmlab://xx.xx/xx.pth", "openmmlab"],
      ["mmcls://xx.xx/xx.pth", "mmcls"],
      ["pavi://xx.xx/xx.pth", "pavi"],
      ["s3://xx.xx/xx.pth", "ceph"],
      ["ss3://xx.xx/xx.pth", "local"],
      [" s3://xx.xx/xx.pth", "local"],
      ["open-mmlab:s3://xx.xx/xx.pth", "ceph"],
      ["openmmlab:s3://xx.xx/xx.pth", "ceph"],
      ["openmmlabs3://xx.xx/xx.pth", "local"],
      [":s3://xx.xx/xx.pth", "local"],
    ];
    expect(cases.map(([path]) => [path, registry.find(path)?.name])).to.deep.equal(cases);
  });

  it("A3: prefers the longest literal, then the first registered", () => {
    const registry = new SchemeRegistry();
    registry.register("a/b", loader(""), { name: "short" });
    registry.register("a/b/c", loader(""), { name: "long" });
    registry.register([/a.{2}/, /a\/./], loader(""), { name: "pattern" });
    expect(registry.find("a/b/c/d")?.name).to.equal("long");
    expect(registry.find("a/b/d")?.name).to.equal("short");
    expect(registry.find("a.b")?.name).to.equal("pattern");
    expect(registry.find("xa/b")).to.equal(null);
  });

  it("A4: takes a prefix literally: a dot is a dot", () => {
    const registry = new SchemeRegistry();
    registry.register("a.b://", loader(""));
    expect(registry.find("axb://c")).to.equal(null);
  });

  it("does not depend on flags or state of a pattern", () => {
    const registry = new SchemeRegistry();
    registry.register(/S3:/giy, loader(""), { name: "s3" });
    expect([1, 2, 3].map(() => registry.find("s3:x")?.name)).to.deep.equal(["s3", "s3", "s3"]);
    expect(registry.find("xs3:")).to.equal(null);
  });

  it("A2: refuses a taken prefix with mmengine's words and registers none of a refused list", async () => {
    const registry = new SchemeRegistry();
    registry.register("b://", loader("first"));
    const error = await expectError("RANKCAST_SCHEME_REGISTERED", () => registry.register(["a://", "b://"], loader("second")));
    expect(error.message).to.equal('b:// is already registered as a loader backend, add "force: true" if you want to override it');
    expect(error.class).to.equal("usage");
    expect(registry.find("a://x")).to.equal(null);
    registry.register(["a://", "b://"], loader("second"), { force: true, name: "second" });
    expect(registry.find("b://x")?.name).to.equal("second");
  });

  it("A1: gives a disposer that removes only its own registration", () => {
    const registry = new SchemeRegistry();
    const dispose = registry.register(["a://", "b://"], loader(""), { name: "one" });
    registry.register("b://", loader(""), { force: true, name: "two" });
    dispose();
    expect(registry.find("a://x")).to.equal(null);
    expect(registry.find("b://x")?.name).to.equal("two");
    expect(registry.unregister("b://")).to.equal(true);
    expect(registry.unregister("b://")).to.equal(false);
    registry.register("c://", loader(""))[Symbol.dispose]();
    expect(registry.schemes).to.deep.equal([]);
  });

  it("A1: works as a decorator, names loaders after their function, and checks types", () => {
    const registry = new SchemeRegistry();
    function loadFromMine(): StateDict {
      return new StateDict();
    }
    expect(registry.register("mine://")(loadFromMine)).to.equal(loadFromMine);
    expect(registry.find("mine://x")?.name).to.equal("loadFromMine");
    for (const wrong of [1, null, [1], [], {}]) expect(() => registry.register(wrong as string, loadFromMine)).to.throw(TypeError);
    expect(() => registry.register("x://", 5 as unknown as SchemeLoader)).to.throw(TypeError);
  });
});
