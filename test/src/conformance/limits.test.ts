/** Every bound on what a checkpoint may hold: lowered, it refuses a good file with class limit, names itself and the file; by default it does not. */
import { basename } from "node:path";
import { compileLimits, DEFAULT_LIMITS, type FormatError } from "@rankcast/core";
import { buildManifest, memorySource, noSiblings, openLocal, readCheckpoint, resolved } from "@rankcast/core/internal";
import { expect } from "chai";
import { ggufFile } from "../core/format/gguf-file.ts";
import { expectError } from "../support/expect-error.ts";
import { FIXTURES } from "../support/fixtures.ts";
import { torchZipFile } from "../support/torch-file.ts";
import { pickle, u32 } from "../support/write-pickle.ts";

const STATE = "torch-zip/state_dict_t213.pt";
const DEFLATED = "torch-zip/rezipped_deflate.pt";
const HEADER = "safetensors/basic.safetensors";
const INDEX = "sharded/three_shards/model.safetensors.index.json";

/** Limit, the values that make it refuse, and a file that is good otherwise. */
const ROWS: readonly (readonly [limit: keyof typeof DEFAULT_LIMITS, lowered: Readonly<Record<string, number>>, path: string])[] = [
  ["safetensorsHeaderBytes", { safetensorsHeaderBytes: 10 }, HEADER],
  ["indexBytes", { indexBytes: 10 }, INDEX],
  ["indexShards", { indexShards: 1 }, INDEX],
  ["indexNameBytes", { indexNameBytes: 1 }, INDEX],
  ["jsonDepth", { jsonDepth: 1 }, HEADER],
  ["jsonStringBytes", { jsonStringBytes: 1 }, HEADER],
  ["pickleBytes", { pickleBytes: 50 }, STATE],
  ["pickleStackValues", { pickleStackValues: 2 }, STATE],
  ["pickleMarkDepth", { pickleMarkDepth: 0.5 }, STATE],
  ["pickleValueBytes", { pickleValueBytes: 100 }, STATE],
  ["pickleValueRatio", { pickleValueRatio: 0.001, pickleValueBytesFloor: 1 }, STATE],
  ["treeDepth", { treeDepth: 1 }, "torch-zip/py_containers.pt"],
  ["treeHeapRatio", { treeHeapRatio: 0.001, treeHeapBytesFloor: 1, pickleValueRatio: 0.001, pickleValueBytesFloor: 94_000 }, STATE],
  ["treeNamesBytes", { treeNamesBytes: 3 }, STATE],
  ["pickleStringBytes", { pickleStringBytes: 3 }, STATE],
  ["nestedStreams", { nestedStreams: 0.5 }, "pickle/state_dict_p2_t113.pkl"],
  ["pickleGlobals", { pickleGlobals: 1 }, STATE],
  ["pickleGlobalNameBytes", { pickleGlobalNameBytes: 5 }, STATE],
  ["persistentIds", { persistentIds: 1 }, STATE],
  ["keyTupleLength", { keyTupleLength: 1 }, "torch-zip/py_containers.pt"],
  ["tensorRank", { tensorRank: 1 }, STATE],
  ["tensors", { tensors: 1 }, STATE],
  ["tensorNameBytes", { tensorNameBytes: 1 }, STATE],
  ["zipEntries", { zipEntries: 1 }, STATE],
  ["zipDirectoryBytes", { zipDirectoryBytes: 10 }, STATE],
  ["zipNameBytes", { zipNameBytes: 3 }, STATE],
  ["inflateRatio", { inflateRatio: 0.01, inflateRatioBytesFloor: 0.5 }, DEFLATED],
  ["inflateTotalRatio", { inflateTotalRatio: 0.001, inflateTotalBytesFloor: 1 }, DEFLATED],
  ["dcpMetadataBytes", { dcpMetadataBytes: 10 }, "dcp/two_rank"],
  ["dcpChunks", { dcpChunks: 1 }, "dcp/two_rank"],
  ["npyHeaderBytes", { npyHeaderBytes: 10 }, "npz/npy_c_order.npy"],
];

/** Counters are refused at the first thing too much, so each try may raise them by one. */
const TRIES_MAX = 200;

/** Floors, which move another limit; limits with a test of their own because no file here reaches them; limits of downloads, keys and memory. */
const ELSEWHERE: ReadonlySet<string> = new Set([
  ...["pickleValueBytesFloor", "treeHeapBytesFloor", "inflateRatioBytesFloor", "inflateTotalBytesFloor", "materialisedBytesFloor"],
  ...["collidingNumberKeys", "treeRepeatedValues", "manifestBytes", "materialisedRatio", "densifiedBytes", "extraStateValues"],
]);
const BEYOND_FILES = /^(revKey|http|redirects|idleMs|inFlightBytes|windowBytes|broadcast|replica|stripe)/;

describe("limits", () => {
  const read = async (path: string, limits: Readonly<Record<string, number>>): Promise<void> => {
    const files = await openLocal(`${FIXTURES}accepted/${path}`);
    try {
      const compiled = compileLimits(limits);
      buildManifest(await readCheckpoint(files, { limits: compiled }), { limits: compiled });
    } finally {
      await files.close();
    }
  };

  for (const [limit, lowered, path] of ROWS) {
    it(`${limit} refuses ${path} when it is lowered`, async () => {
      await read(path, {});
      const error = (await expectError("RANKCAST_LIMIT", read(path, lowered))) as FormatError;
      expect(error.class).to.equal("limit");
      expect(error.details["limit"]).to.equal(limit);
      expect(error.message).to.contain(limit);
      expect(error.message).to.contain(basename(path));
    });

    it(`${limit}: doing what the refusals say, as often as they say it, reads ${path}`, async () => {
      let limits = lowered;
      for (let left = TRIES_MAX; left > 0; left -= 1) {
        const error = await read(path, limits).catch((thrown: unknown) => thrown as FormatError);
        if (error === undefined) return;
        const [, name = "", value = ""] = /`--limit (\w+)=(\d+)`/.exec(error.remedy) ?? [];
        expect(name, error.message).to.equal(error.details["limit"]);
        expect(Number(value), name).to.be.above(limits[name] ?? DEFAULT_LIMITS[name as typeof limit]);
        limits = { ...limits, [name]: Number(value) };
      }
      expect.fail("it never ends");
    });
  }

  const gguf = ggufFile(
    [
      { name: "a", dims: [1], type: 0, data: new Uint8Array(4) },
      { name: "b", dims: [1], type: 0, data: new Uint8Array(4) },
    ],
    [(writer) => writer.text("general.architecture").u32(8).text("llama")],
  );
  const made: readonly (readonly [keyof typeof DEFAULT_LIMITS, number, string, Uint8Array])[] = [
    ["ggufEntries", 0.5, "made.gguf", gguf],
    ["ggufStringBytes", 2, "made.gguf", gguf],
    ["pickleLongBytes", 4, "made.pt", torchZipFile({ pickle: pickle("\x8b", u32(10), new Uint8Array(10)), storages: {} })],
  ];
  for (const [limit, value, name, bytes] of made) {
    it(`${limit} refuses ${name} when it is lowered`, async () => {
      const files = (): ReturnType<typeof resolved> => resolved(name, memorySource(bytes, name), noSiblings(name));
      await readCheckpoint(files(), { limits: DEFAULT_LIMITS });
      const error = await expectError("RANKCAST_LIMIT", readCheckpoint(files(), { limits: compileLimits({ [limit]: value }) }));
      expect(error.details["limit"]).to.equal(limit);
      expect(error.message).to.contain(name);
    });
  }

  it("all limits on files are here", () => {
    const known = new Set<string>([...ROWS, ...made].map(([limit]) => limit));
    const others = Object.keys(DEFAULT_LIMITS).filter((name) => !known.has(name) && !ELSEWHERE.has(name) && !BEYOND_FILES.test(name));
    expect(others).to.deep.equal([]);
  });
});
