import { readEnvironment } from "@rankcast/core/internal";
import { expect } from "chai";

describe("readEnvironment", () => {
  it("treats an empty variable as unset", () => {
    const environment = readEnvironment({ HOME: "/h", RANKCAST_HOME: "", TORCH_HOME: "/t", XDG_CACHE_HOME: "", HF_TOKEN: "" });
    expect(environment.home).to.equal("/h");
    expect(environment).to.not.have.any.keys("rankcastHome", "xdgCacheHome");
    expect(environment.torchHome).to.equal("/t");
    expect(environment.huggingFace).to.deep.equal({ offline: false, noImplicitToken: false });
    expect(readEnvironment({ HOME: "" }).home).to.match(/^\//);
  });

  it("knows the older names and the flags", () => {
    const environment = readEnvironment({
      HUGGINGFACE_HUB_CACHE: "/c",
      HUGGING_FACE_HUB_TOKEN: "t",
      TRANSFORMERS_OFFLINE: "YES",
      RANKCAST_NO_MMAP: "0",
      AWS_DEFAULT_REGION: "eu-west-1",
      AWS_ENDPOINT_URL: "http://a",
      AWS_ENDPOINT_URL_S3: "http://b",
    });
    expect(environment.huggingFace).to.include({ hubCache: "/c", token: "t", offline: true });
    expect(environment.noMmap).to.equal(false);
    expect(environment.aws).to.deep.equal({ profile: "default", region: "eu-west-1", endpoint: "http://b" });
    expect(Object.isFrozen(environment) && Object.isFrozen(environment.aws)).to.equal(true);
  });

  it("reads proxies as CPython does", () => {
    const proxies = (variables: Record<string, string>) => Object.fromEntries(readEnvironment(variables).proxies);
    expect(proxies({ HTTP_PROXY: "u", http_proxy: "l", Https_Proxy: "m", NO_PROXY: "x" })).to.deep.equal({
      http: "l",
      https: "m",
      no: "x",
    });
    expect(proxies({ HTTPS_PROXY: "u", https_proxy: "" })).to.deep.equal({});
    expect(proxies({ HTTP_PROXY: "u", REQUEST_METHOD: "GET" })).to.deep.equal({});
    expect(proxies({ http_proxy: "l", REQUEST_METHOD: "GET" })).to.deep.equal({ http: "l" });
  });
});
