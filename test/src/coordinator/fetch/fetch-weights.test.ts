import { fetchWeights } from "@rankcast/coordinator/internal";
import type { StateDictManifest } from "@rankcast/core/internal";
import { expect } from "chai";
import { fixtureBytes } from "../../support/fixtures.ts";
import { GatedBody } from "../../support/gated-body.ts";
import { originServer } from "../../support/origin-server.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

describe("fetchWeights", () => {
  const server = originServer();
  const directory = temporaryDirectory();

  it("knows the manifest before the download is complete", async () => {
    const bytes = fixtureBytes("accepted/torch-zip/state_dict_t213.pt");
    // Everything but the last storage, `version` and the directory.
    const gate = new GatedBody(bytes, bytes.lastIndexOf(Buffer.from("PK\u0003\u0004"), bytes.indexOf("/version")));
    const phases: string[] = [];
    let early: StateDictManifest | null = null;
    const listener = {
      onPhase: (phase: string) => void phases.push(phase),
      onBytes: () => undefined,
      onManifest: (manifest: StateDictManifest) => {
        early = manifest;
        gate.open();
      },
    };
    const url = server().route("/model.pt", gate.handler);
    const fetched = await fetchWeights(url, { cacheDir: directory() }, listener, new AbortController().signal);
    await fetched.verify();
    fetched.release();
    expect((early as StateDictManifest | null)?.tensors).to.deep.equal(fetched.manifest.tensors);
    expect(fetched.manifest.checksums).to.equal("present");
    expect(fetched.origin().bytesRead).to.equal(bytes.length);
    expect(phases).to.deep.equal(["resolving", "downloading", "decoding"]);
  });
});
