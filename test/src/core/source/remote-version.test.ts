import { remoteVersion, strongValidator } from "@rankcast/core/internal";
import { expect } from "chai";

describe("remoteVersion", () => {
  const version = (headers: Record<string, string>) => strongValidator(remoteVersion({ header: (name) => headers[name] ?? null }, 1));

  it("believes strong tags, and dates only when they are clearly old", () => {
    expect(version({ etag: '"a"' })).to.equal('"a"');
    expect(version({ etag: 'W/"a"' })).to.equal(null);
    expect(version({ etag: "a" })).to.equal(null);
    const lastModified = "Wed, 21 Oct 2015 07:28:00 GMT";
    expect(version({ "last-modified": lastModified, date: "Wed, 21 Oct 2015 07:29:00 GMT" })).to.equal(lastModified);
    expect(version({ "last-modified": lastModified, date: "Wed, 21 Oct 2015 07:28:30 GMT" })).to.equal(null);
    expect(version({ "last-modified": lastModified })).to.equal(null);
    expect(version({})).to.equal(null);
  });
});
