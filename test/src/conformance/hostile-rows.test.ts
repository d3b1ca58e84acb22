/**
 * The list of malformed and hostile inputs that a reader must refuse, row by row: a fixture, or bytes made here. Each ends within a second with the
 * class of the row, or is read as what it is where the row says so. A row without an input is an error.
 */
import { existsSync, readFileSync } from "node:fs";
import { copyFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { CheckpointError, compileLimits, densify, loadCheckpoint, Storage, type Tensor } from "@rankcast/core";
import { buildManifest, openLocal, readCheckpoint, safetensors, TreeDict, transferStorages } from "@rankcast/core/internal";
import { expect } from "chai";
import { inputOf } from "../core/format/sources.ts";
import { FIXTURES, fixtureBytes } from "../support/fixtures.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { inspectTree, prototypesAreClean } from "./inspect-fixture.ts";
import { CONTAINER_ROWS } from "./rows/container-rows.ts";
import { HEADER_ROWS } from "./rows/header-rows.ts";
import type { HostileRow, Made } from "./rows/hostile-row.ts";
import { PICKLE_ROWS } from "./rows/pickle-rows.ts";
import { TENSOR_ROWS } from "./rows/tensor-rows.ts";

const ROWS = new Map([...CONTAINER_ROWS, ...PICKLE_ROWS, ...TENSOR_ROWS, ...HEADER_ROWS]);
/** Its input is a file that changes under the reader. */
const LAST_ROW = 174;
const CPU_MS_MAX = 1000;

/** Reads all there is, and writes out what is sparse. */
async function readWhole(path: string, row: HostileRow): Promise<void> {
  if (row.door) {
    await safetensors.read(inputOf(readFileSync(path), { name: path }));
    return;
  }
  const files = await openLocal(path);
  try {
    const tree = await readCheckpoint(files, { limits: compileLimits(row.limits ?? {}) });
    await inspectTree(tree);
    if (row.densify) await densifyAll(path, tree.root instanceof TreeDict ? tree.root : new TreeDict());
  } finally {
    await files.close();
  }
}

async function densifyAll(path: string, root: TreeDict): Promise<void> {
  const loaded = (await loadCheckpoint(path)).tree as ReadonlyMap<unknown, ReadonlyMap<string, Tensor>>;
  for (const [key, value] of root.entries) {
    if (typeof value !== "object" || value === null || !("layout" in value)) continue;
    densify({ layout: value.layout, shape: value.shape, parts: loaded.get(key) ?? new Map() });
  }
}

describe("hostile inputs, row by row", () => {
  const directory = temporaryDirectory();
  const store = async (made: Made): Promise<string> => {
    const files: ReadonlyMap<string, Uint8Array | string> = made instanceof Uint8Array ? new Map([["hostile.pt", made]]) : made.files;
    for (const [name, bytes] of files) await writeFile(join(directory(), name), bytes);
    return join(directory(), made instanceof Uint8Array ? "hostile.pt" : (made.entry ?? ""));
  };

  for (const [number, row] of ROWS) {
    it(`${number}: ${row.what}: ${row.outcome}`, async () => {
      const { fixtures = [], made = [], except = {} } = row;
      expect(fixtures.length + made.length).to.be.above(0);
      for (const input of [...fixtures.map((path) => async () => FIXTURES + path), ...made.map((make) => () => store(make()))]) {
        const path = await input();
        expect(existsSync(path), path).to.equal(true);
        const begin = process.cpuUsage();
        const found = await readWhole(path, row).then(
          () => "read",
          (error: unknown) => {
            if (!(error instanceof CheckpointError)) throw error;
            expect(error.message).to.have.length.below(2000);
            return error.class;
          },
        );
        const { user, system } = process.cpuUsage(begin);
        expect(found, path).to.equal(except[basename(path).split(".")[0] ?? ""] ?? row.outcome);
        expect((user + system) / 1000, `ms for ${path}`).to.be.below(CPU_MS_MAX);
        expect(prototypesAreClean()).to.equal(true);
      }
    }).timeout(30_000);
  }

  it(`${LAST_ROW}: a file that is replaced between header and data: integrity`, async () => {
    const path = join(directory(), "changing.safetensors");
    await copyFile(`${FIXTURES}accepted/safetensors/basic.safetensors`, path);
    const files = await openLocal(path);
    const limits = compileLimits();
    const tree = await readCheckpoint(files, { limits });
    const manifest = buildManifest(tree, { limits });
    await writeFile(path, Buffer.concat([fixtureBytes("accepted/safetensors/basic.safetensors"), Buffer.alloc(1)]));
    const reads = manifest.storages.map((storage) => ({ storage, target: Storage.allocate(storage.nbytes) }));
    const failure = await transferStorages(reads, tree.sources, { limits, verify: true }).catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(CheckpointError).and.to.have.property("class", "integrity");
    await files.close();
  });

  it("every row has an input", () => {
    const rows = Array.from({ length: LAST_ROW - 1 }, (_, at) => at + 1);
    expect(rows.filter((row) => !ROWS.has(row))).to.deep.equal([]);
  });
});
