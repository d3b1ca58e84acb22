import { isPrivateAddress, parseHttpUrl, readableName, redact, urlKey } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";

describe("URLs", () => {
  it("lose their secrets and keep their identity", async () => {
    const target = parseHttpUrl("HTTPS://us%40r:p%3A@Host.Example:443/a/b%20c.pt?sig=s#f");
    expect(target.url.href).to.equal("https://host.example/a/b%20c.pt?sig=s");
    expect(target.name).to.equal("https://host.example/a/b%20c.pt");
    expect(target.authorization).to.equal(`Basic ${Buffer.from("us@r:p:").toString("base64")}`);
    const key = (text: string): string => urlKey(parseHttpUrl(text).url);
    expect(key("http://u:p@h:80/a#x")).to.equal(key("http://h/a"));
    expect(key("http://h/a?b")).to.not.equal(key("http://h/a?c"));
    expect(redact("foo://u:p@h/x?y#z")).to.equal("foo://h/x");
    for (const bad of ["ftp://h/a", "file:///a", "http://", "http://u:p@[/x", "nothing", "https://a:99999/"]) {
      const error = await expectError("RANKCAST_USAGE", () => parseHttpUrl(bad));
      expect(error.message).to.not.contain("u:p");
    }
  });

  it("give names for people that are safe as file names", () => {
    const name = (path: string): string => readableName(new URL(`http://h${path}`));
    expect(name("/a/resnet50-0676ba61.pth")).to.equal("resnet50-0676ba61.pth");
    expect(["/", "/..", "/a/", "/.hidden", "/a%2f..%2fb", "/%00.pt"].map(name)).to.deep.equal([
      "file",
      "file",
      "file",
      "hidden",
      "a_.._b",
      "_.pt",
    ]);
    expect(name(`/${"x".repeat(300)}.pt`)).to.match(/^x{97}\.pt$/);
  });

  it("are private when their address is", () => {
    for (const address of [
      "127.0.0.1",
      "10.1.2.3",
      "172.31.0.1",
      "192.168.1.1",
      "169.254.169.254",
      "0.0.0.0",
      "100.64.0.1",
      "::1",
      "::",
      "fe80::1",
      "fd00::1",
      "::ffff:127.0.0.1",
      "::ffff:a9fe:a9fe",
      "[::1]",
      "64:ff9b::7f00:1",
      "fe80::1%eth0",
    ]) {
      expect(isPrivateAddress(address), address).to.equal(true);
    }
    for (const address of ["1.1.1.1", "172.32.0.1", "2606:4700::1", "::ffff:1.1.1.1", "example.com"])
      expect(isPrivateAddress(address), address).to.equal(false);
  });
});
