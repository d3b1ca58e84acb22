import { cacheLayout, readEnvironment, torchHubDirectory } from "@rankcast/core/internal";
import { expect } from "chai";

describe("cache directory", () => {
  it("follows torch's precedence with ours in front", () => {
    const root = (variables: Record<string, string>, option?: string) =>
      cacheLayout(readEnvironment({ HOME: "/h", ...variables }), option).root;
    expect(root({ RANKCAST_HOME: "/r", TORCH_HOME: "/t" }, "/o")).to.equal("/o");
    expect(root({ RANKCAST_HOME: "~/r", TORCH_HOME: "/t" })).to.equal("/h/r");
    expect(root({ TORCH_HOME: "/t", XDG_CACHE_HOME: "/x" })).to.equal("/t/rankcast");
    expect(root({ XDG_CACHE_HOME: "/x" })).to.equal("/x/rankcast");
    expect(root({ RANKCAST_HOME: "", TORCH_HOME: "", XDG_CACHE_HOME: "" })).to.equal("/h/.cache/rankcast");
    const hub = (variables: Record<string, string>) => torchHubDirectory(readEnvironment({ HOME: "/h", ...variables }));
    expect(hub({ TORCH_HOME: "~/t" })).to.equal("/h/t/hub/checkpoints");
    expect(hub({ XDG_CACHE_HOME: "/x" })).to.equal("/x/torch/hub/checkpoints");
    expect(hub({})).to.equal("/h/.cache/torch/hub/checkpoints");
  });
});
