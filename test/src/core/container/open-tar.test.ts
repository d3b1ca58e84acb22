import { DEFAULT_LIMITS } from "@rankcast/core";
import { isTarHeader, memorySource, openTar } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { fixtureBytes } from "../../support/fixtures.ts";

const open = (bytes: Uint8Array) => openTar(memorySource(bytes, "old.pth"), { limits: DEFAULT_LIMITS });
const basic = (): Buffer => fixtureBytes("accepted/torch-tar/basic.pth");

/** Writes a header's checksum anew after a change. */
function reseal(bytes: Buffer, at: number): void {
  bytes.fill(0x20, at + 148, at + 156);
  const sum = bytes.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, at + 148, "latin1");
}

describe("openTar", () => {
  it("finds the four members of an old checkpoint", async () => {
    for (const file of ["basic.pth", "cuda_many_dtypes.pth", "storage_views.pth", "string_ids_scalars.pth.tar"]) {
      const tar = await open(fixtureBytes(`accepted/torch-tar/${file}`));
      expect([...tar.entries.keys()]).to.deep.equal(["sys_info", "pickle", "tensors", "storages"]);
    }
  });

  it("gives a member's bytes", async () => {
    const tar = await open(basic());
    const entry = tar.entries.get("pickle");
    if (!entry) throw new Error("no member");
    const bytes = await tar.read(entry);
    expect([bytes.length, bytes[0], bytes.at(-1)]).to.deep.equal([81, 0x80, ".".charCodeAt(0)]);
  });

  it("refuses what is no such archive, by class", async () => {
    const refusals = [
      ["integrity/tar_bad_checksum_inner.pth.tar", "RANKCAST_TAR_HEADER"],
      ["truncated/tar_cut.pth.tar", "RANKCAST_TRUNCATED"],
      ["truncated/tar_member_missing.pth.tar", "RANKCAST_TRUNCATED"],
      ["truncated/tar_size_past_end.pth.tar", "RANKCAST_TRUNCATED"],
      ["unknown-format/tar_ordinary.pth.tar", "RANKCAST_TAR_MEMBER"],
      ["unsafe-path/tar_absolute_member.pth.tar", "RANKCAST_UNSAFE_PATH"],
      ["unsafe-path/tar_dotdot_member.pth.tar", "RANKCAST_UNSAFE_PATH"],
      ["unsafe-path/tar_symlink.pth.tar", "RANKCAST_UNSAFE_PATH"],
    ] as const;
    for (const [file, code] of refusals) await expectError(code, open(fixtureBytes(`refused/${file}`)));
  });

  it("refuses a member that is there twice", async () => {
    const bytes = basic();
    bytes.write("sys_info\0\0\0\0", 1024, "latin1");
    reseal(bytes, 1024);
    await expectError("RANKCAST_TAR_MEMBER", open(bytes));
  });

  it("reads GNU's binary sizes and refuses absurd ones", async () => {
    const bytes = basic();
    bytes.fill(0, 124, 136);
    bytes[124] = 0x80;
    bytes[135] = 116;
    reseal(bytes, 0);
    expect((await open(bytes)).entries.get("sys_info")?.nbytes).to.equal(116);
    bytes[125] = 0x7f;
    reseal(bytes, 0);
    await expectError("RANKCAST_TAR_HEADER", open(bytes));
  });
});

describe("isTarHeader", () => {
  it("looks at the checksum", () => {
    const bytes = basic();
    expect(isTarHeader(bytes)).to.equal(true);
    expect(isTarHeader(bytes.subarray(0, 511))).to.equal(false);
    bytes[3] = 1;
    expect(isTarHeader(bytes)).to.equal(false);
    expect(isTarHeader(new Uint8Array(512))).to.equal(false);
  });
});
