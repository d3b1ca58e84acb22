/** The pure rules behind downloads. */
import { compileLimits, SourceError } from "@rankcast/core";
import {
  ConnectionWindow,
  expectedDigest,
  type FetchProgress,
  isPrivateAddress,
  nearestNames,
  PartQueue,
  ProgressMeter,
  parseContentRange,
  parseHttpUrl,
  parseRetryAfter,
  RangeSet,
  RetryPolicy,
  readableName,
  redact,
  remoteVersion,
  strongValidator,
  urlKey,
} from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";
import { expectError } from "../../support/expect-error.ts";

describe("RangeSet", () => {
  it("behaves as a set of bytes", () => {
    const range = fc.tuple(fc.nat(60), fc.nat(20)).map(([begin, length]) => ({ begin, end: begin + length }));
    fc.assert(
      fc.property(fc.array(range, { maxLength: 20 }), fc.integer({ min: 1, max: 90 }), (ranges, size) => {
        const set = new RangeSet();
        const bytes = new Set<number>();
        for (const each of ranges) {
          set.add(each);
          for (let at = each.begin; at < each.end; at += 1) bytes.add(at);
        }
        expect(set.sizeBytes).to.equal(bytes.size);
        let prefix = 0;
        while (bytes.has(prefix)) prefix += 1;
        expect(set.prefixBytes).to.equal(prefix);
        const missing = set.missing(size).flatMap((gap) => Array.from({ length: gap.end - gap.begin }, (_, index) => gap.begin + index));
        expect(missing).to.deep.equal(Array.from({ length: size }, (_, index) => index).filter((at) => !bytes.has(at)));
        for (const [index, each] of set.ranges.entries()) expect(each.begin).to.be.greaterThan(set.ranges[index - 1]?.end ?? -1);
      }),
    );
  });
});

describe("PartQueue", () => {
  it("hands out every missing byte once, in order, in parts of bounded size", () => {
    const MIB = 2 ** 20;
    const queue = new PartQueue(
      [
        { begin: 5, end: 40 * MIB },
        { begin: 50 * MIB, end: 50 * MIB + 3 },
      ],
      16 * MIB,
      4,
    );
    const parts: { begin: number; end: number }[] = [];
    for (let part = queue.next(); part !== null; part = queue.next()) parts.push(part);
    expect(parts[0]).to.deep.equal({ begin: 5, end: 5 + Math.ceil((40 * MIB - 5 + 3) / 4) });
    for (const [index, part] of parts.entries()) {
      expect(part.end - part.begin).to.be.within(1, 16 * MIB);
      if (index > 0 && part.begin !== 50 * MIB) expect(part.begin).to.equal(parts[index - 1]?.end);
    }
    expect(parts.reduce((sum, part) => sum + part.end - part.begin, 0)).to.equal(40 * MIB - 5 + 3);
    expect(queue.isEmpty).to.equal(true);
  });
});

describe("parseContentRange", () => {
  it("takes well-formed ranges and nothing else", () => {
    expect(parseContentRange("bytes 0-9/10")).to.deep.equal({ range: { begin: 0, end: 10 }, sizeBytes: 10 });
    expect(parseContentRange("bytes 5-9/*")).to.deep.equal({ range: { begin: 5, end: 10 }, sizeBytes: null });
    expect(parseContentRange("bytes */10")).to.deep.equal({ range: null, sizeBytes: 10 });
    for (const bad of [
      null,
      "",
      "bytes 0-9",
      "bytes 9-0/10",
      "bytes 0-10/10",
      "bytes */*",
      "bytes=0-9/10",
      "bytes 0-9/10x",
      "bytes 1e1-9/10",
      "bytes 0-9007199254740992/*",
    ]) {
      expect(parseContentRange(bad), String(bad)).to.equal(null);
    }
  });
});

describe("RetryPolicy", () => {
  const network = (details: Record<string, string | number> = {}): SourceError => new SourceError("RANKCAST_NETWORK", "n", { details });
  const setUp = (overrides: Partial<Record<string, number>> = {}) => {
    let now = 0;
    const slept: number[] = [];
    const pass = (ms: number): void => {
      now += ms;
    };
    const sleep = async (ms: number): Promise<void> => {
      slept.push(ms);
      pass(ms);
    };
    const clock = { now: () => now, random: () => 1, sleep };
    const policy = new RetryPolicy(compileLimits({ idleMs: 30_000, ...overrides }), undefined, clock);
    return { policy, slept, pass, run: policy.start() };
  };

  it("doubles its pauses and gives up after the tries", async () => {
    const { policy, slept, run } = setUp();
    for (let tries = 0; tries < 4; tries += 1) await policy.again(run, network(), "x", undefined);
    expect(slept).to.deep.equal([250, 500, 1000, 2000]);
    await expectError("RANKCAST_NETWORK", policy.again(run, network(), "x", undefined));
    expect(policy.retries).to.equal(4);
  });

  it("gives a silent server a third of the limit per try and all of it together", async () => {
    const { policy, pass, run } = setUp();
    const silence = new SourceError("RANKCAST_NETWORK_SILENT", "s");
    for (let tries = 0; tries < 2; tries += 1) {
      expect(policy.attemptIdleMs).to.equal(10_000);
      pass(10_000);
      await policy.again(run, silence, "x", undefined);
    }
    pass(policy.attemptIdleMs);
    const error = await expectError("RANKCAST_NETWORK_SILENT", policy.again(run, silence, "x", undefined));
    expect(error.details).to.include({ idleMs: 30_000 });
  });

  it("counts a byte as life, and a pause the server asked for not as silence", async () => {
    const { policy, slept, pass, run } = setUp();
    pass(29_000);
    policy.sign();
    expect(policy.attemptIdleMs).to.equal(10_000);
    const busy = new SourceError("RANKCAST_HTTP_STATUS", "b", { details: { status: 503, retryAfterMs: 90_000 } });
    await policy.again(run, busy, "x", undefined);
    expect(slept).to.deep.equal([30_000]);
    expect(policy.attemptIdleMs).to.equal(10_000);
  });

  it("does not try again what can not get better, and bounds all tries", async () => {
    const { policy, run } = setUp({ httpRetries: 2 });
    await expectError("RANKCAST_NETWORK", policy.again(run, network({ systemError: "ENOTFOUND" }), "x", undefined));
    for (const code of ["RANKCAST_TLS", "RANKCAST_HTTP_RANGE", "RANKCAST_NOT_FOUND", "RANKCAST_DISK_FULL"] as const) {
      await expectError(code, policy.again(run, new SourceError(code, "x"), "x", undefined));
    }
    const bug = new TypeError("bug");
    expect(await policy.again(run, bug, "x", undefined).catch((error: unknown) => error)).to.equal(bug);
    for (let tries = 0; tries < 2; tries += 1) await policy.again(policy.start(), network(), "x", undefined);
    await expectError("RANKCAST_NETWORK", policy.again(policy.start(), network(), "x", undefined));
  });

  it("reads Retry-After as seconds or a date", () => {
    expect(parseRetryAfter("7")).to.equal(7000);
    expect(parseRetryAfter("Wed, 21 Oct 2015 07:28:10 GMT", Date.parse("2015-10-21T07:28:00Z"))).to.equal(10_000);
    expect(parseRetryAfter("Wed, 21 Oct 2015 07:28:10 GMT", Date.parse("2016-10-21T07:28:00Z"))).to.equal(0);
    for (const bad of [null, "", "soon", "-5", "99999999999"]) expect(parseRetryAfter(bad), String(bad)).to.equal(undefined);
  });
});

describe("ConnectionWindow", () => {
  it("grows while more brings more, then stays", () => {
    const window = new ConnectionWindow(8, 0);
    expect(window.allowed).to.equal(2);
    expect(window.received(100, 100)).to.equal(false);
    expect(window.received(100, 250)).to.equal(true);
    expect(window.allowed).to.equal(4);
    window.received(500, 500);
    expect(window.allowed).to.equal(8);
    window.received(900, 750);
    window.received(9000, 1000);
    expect(window.allowed).to.equal(8);
    const flat = new ConnectionWindow(8, 0);
    flat.received(100, 250);
    flat.received(105, 500);
    flat.received(900, 750);
    expect(flat.allowed).to.equal(4);
  });

  it("halves when pushed back and grows no more", () => {
    const window = new ConnectionWindow(8, 0);
    window.received(100, 250);
    window.pushedBack();
    expect(window.allowed).to.equal(2);
    window.received(9999, 600);
    window.pushedBack();
    window.pushedBack();
    expect(window.allowed).to.equal(1);
  });
});

describe("expectedDigest", () => {
  const of = (url: string) => expectedDigest(new URL(url), {});
  const X = "https://x.example/";

  it("reads digests out of names as published models have them", () => {
    const rows: [string, string | null, boolean][] = [
      ["resnet50-0676ba61.pth", "0676ba61", true],
      ["mnasnet0.5_top1_67.823-3ffadce67e.pth", "3ffadce67e", true],
      ["faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth", "047c8118", true],
      ["model_0123456789abcdef.safetensors", "0123456789abcdef", true],
      ["cc_3dt_frcnn_r50_fpn_12e_nusc_d98509.pt", "d98509", false],
      ["model-1.5-final.pth", null, false],
      ["m-.pth", null, false],
      ["model-0676BA61.pth", null, false],
      ["checkpoint_20230615.pth", "20230615", false],
      ["checkpoint-20230615.pth", "20230615", false],
      ["ckpt_00010000.pt", "00010000", false],
      ["ckpt-12345678.pt", "12345678", true],
      ["a-0676ba61.exe", null, false],
      ["a-0676ba6.pth?x=-deadbeef.pth", "0676ba6", false],
      ["vgg_state_dict.pth", null, false],
    ];
    for (const [name, prefix, enforced] of rows) {
      const expected = of(X + name);
      expect(expected?.prefix ?? null, name).to.equal(prefix);
      if (prefix !== null) expect(expected?.enforced, name).to.equal(enforced);
    }
    expect(of("https://dl.cv.ethz.ch/vis4d/x_d98509.pt")?.enforced).to.equal(true);
    expect(of("https://download.pytorch.org/models/quantized/resnet18_fbgemm_16fa66dd.pth")?.enforced).to.equal(false);
  });

  it("lets the caller win, then the table", async () => {
    const url = new URL(`${X}a-0676ba61.pth`);
    const sha256 = "AB".repeat(32);
    expect(expectedDigest(url, { sha256 })).to.deep.equal({ prefix: "ab".repeat(32), enforced: true, from: "option" });
    expect(expectedDigest(url, { tablePrefix: { prefix: "12", enforced: false } })).to.include({ prefix: "12", from: "table" });
    expect(expectedDigest(url, { ignoreName: true })).to.equal(null);
    await expectError("RANKCAST_USAGE", () => expectedDigest(url, { sha256: "abc" }));
  });
});

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

describe("ProgressMeter", () => {
  it("tells rate and remaining time without the bytes of an earlier try, at a bounded frequency", () => {
    let now = 0;
    const events: FetchProgress[] = [];
    const meter = new ProgressMeter(
      "x",
      (event) => event.type === "progress" && events.push(event),
      () => now,
    );
    meter.bytesTotal = 10_000;
    meter.bytesBefore = 4_000;
    for (let tick = 0; tick < 100; tick += 1) {
      now += 10;
      meter.add(20);
    }
    meter.end();
    expect(events.length).to.be.within(9, 12);
    expect(events.at(-1)).to.deep.equal({
      type: "progress",
      name: "x",
      bytesDone: 6_000,
      bytesTotal: 10_000,
      bytesPerSecond: 2_000,
      etaMs: 2_000,
      retries: 0,
    });
  });
});

describe("nearestNames", () => {
  it("finds typos, swaps and beginnings, closest first", () => {
    const names = ["resnet18.default", "resnet50.default", "vgg16.default", "toString"];
    expect(nearestNames("resnte50.default", names)[0]).to.equal("resnet50.default");
    expect(nearestNames("resnet50", names)[0]).to.equal("resnet50.default");
    expect(nearestNames("zzz", names)).to.deep.equal([]);
    expect(nearestNames("x".repeat(100_000), names)).to.deep.equal([]);
  });
});
