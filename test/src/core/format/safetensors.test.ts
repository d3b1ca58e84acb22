/** safetensors against the fixtures, a slow statement of the rules, and every small damage. */
import { CheckpointError, DTYPES } from "@rankcast/core";
import { OpaqueValue, openSafetensors, safetensors, TensorRef, type TreeDict } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";
import { digestTree, expectedRows, fixtureInput, inputOf, leavesOf, refusalOf, safetensorsFile, tensorBytes } from "./sources.ts";

async function variantOf(file: Uint8Array): Promise<unknown> {
  return (await refusalOf(() => openSafetensors(inputOf(file)))).details["variant"];
}

/** Refused by us although the reference reads them, or for another of several reasons. */
const OWN_ORDER = new Set(["st_duplicate_other_bytes", "st_depth_200"]);

describe("safetensors", () => {
  for (const [path, row] of expectedRows(/^accepted\/safetensors\//)) {
    it(`reads ${path}`, async () => {
      const input = fixtureInput(path);
      expect(await safetensors.matches(input)).to.equal(true);
      const found = await digestTree(await safetensors.read(input));
      const optional = new Set((row.optional_tensors ?? []).map(({ name }) => name));
      const listed = found.filter(({ name }) => !optional.has(name) && !row.unlisted?.includes(name));
      if (row.order === "any") expect(listed).to.have.deep.members([...(row.tensors ?? [])]);
      else expect(listed).to.deep.equal(row.tensors);
      for (const tensor of found) if (optional.has(tensor.name)) expect(row.optional_tensors).to.deep.include(tensor);
    });
  }

  for (const [path, row] of expectedRows(/^refused\/.*\/st_[^/]*$/)) {
    it(`refuses ${path}`, async () => {
      const error = await refusalOf(() => openSafetensors(fixtureInput(path)));
      expect([row.class].flat()).to.include(error.class);
      const own = [...OWN_ORDER].some((name) => path.includes(name));
      if (row.code !== undefined && !own) expect(error.details["variant"]).to.equal(row.code);
      expect(error.message).to.contain(path.split("/").at(-1));
    });
  }

  it("is recognised by structure only", () => {
    expect(safetensors.matches(inputOf(safetensorsFile("{}")))).to.equal(true);
    expect(safetensors.matches(inputOf(safetensorsFile(`${" ".repeat(5000)}{}`)))).to.equal(true);
    for (const other of [
      Buffer.from(""),
      Buffer.from("PK\x03\x04 a zip"),
      Buffer.from('{"error": "not found"}'),
      Buffer.alloc(64),
      Buffer.from([0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0x7b]),
    ])
      expect(safetensors.matches(inputOf(other))).to.equal(false);
  });

  it("refuses each broken rule with the reference's name for it", async () => {
    const one = (fields: string, data = 16) => safetensorsFile(`{"w":{${fields}}}`, Buffer.alloc(data));
    expect(await variantOf(Buffer.alloc(7))).to.equal("HeaderTooSmall");
    expect(await variantOf(safetensorsFile("{}").subarray(0, 9))).to.equal("InvalidHeaderLength");
    expect(await variantOf(Buffer.from("3c00000000ffffff", "hex"))).to.equal("HeaderTooLarge");
    expect(await variantOf(safetensorsFile(Buffer.from([0x7b, 0xff])))).to.equal("InvalidHeader");
    expect(await variantOf(safetensorsFile("{"))).to.equal("InvalidHeaderDeserialization");
    expect(await variantOf(one('"dtype":"F32","shape":[4],"data_offsets":[0,12]'))).to.equal("TensorInvalidInfo");
    expect(await variantOf(one('"dtype":"F32","shape":[4],"data_offsets":[1,17]'))).to.equal("InvalidOffset");
    expect(await variantOf(one('"dtype":"F32","shape":[2,18446744073709551614],"data_offsets":[0,16]'))).to.equal("ValidationOverflow");
    expect(await variantOf(one('"dtype":"F32","shape":[2,9223372036854775807],"data_offsets":[0,16]'))).to.equal("ValidationOverflow");
    expect(await variantOf(one('"dtype":"F64","shape":[288230376151711744],"data_offsets":[0,16]'))).to.equal("ValidationOverflow");
    expect(await variantOf(one('"dtype":"U8","shape":[288230376151711744],"data_offsets":[0,16]'))).to.equal("TensorInvalidInfo");
    expect(await variantOf(one('"dtype":"F4","shape":[3],"data_offsets":[0,1]', 1))).to.equal("MisalignedSlice");
    expect(await variantOf(one('"dtype":"F6_E2M3","shape":[3],"data_offsets":[0,2]', 2))).to.equal("MisalignedSlice");
    expect(await variantOf(one('"dtype":"F32","shape":[4],"data_offsets":[0,16]', 17))).to.equal("MetadataIncompleteBuffer");
    const cut = await refusalOf(() => openSafetensors(inputOf(one('"dtype":"F32","shape":[4],"data_offsets":[0,16]', 15))));
    expect([cut.class, cut.details["variant"]]).to.deep.equal(["truncated", "MetadataIncompleteBuffer"]);
  });

  it("checks offsets above 2^53 exactly before it misses their bytes", async () => {
    const wide = (second: string) =>
      safetensorsFile(
        `{"a":{"dtype":"U8","shape":[1152921504606846976],"data_offsets":[0,1152921504606846976]},"b":["U8",[1152921504606846977],${second}]}`,
      );
    const cut = await refusalOf(() => openSafetensors(inputOf(wide("[1152921504606846976,2305843009213693953]"))));
    expect([cut.class, cut.details["expected"]]).to.deep.equal(["truncated", "2305843009213693953"]);
    expect(await variantOf(wide("[1152921504606846976,2305843009213693952]"))).to.equal("TensorInvalidInfo");
    const gap = await refusalOf(() => openSafetensors(inputOf(wide("[1152921504606846977,2305843009213693954]"))));
    expect([gap.details["variant"], gap.details["offset"]]).to.deep.equal(["InvalidOffset", wide("").indexOf('"b"')]);
  });

  it("names file, tensor and byte", async () => {
    const file = safetensorsFile(
      '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},\n"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}',
      Buffer.alloc(3),
    );
    const error = await refusalOf(() => openSafetensors(inputOf(file, { name: "x.safetensors" })));
    expect(error.details).to.deep.equal({
      file: "x.safetensors",
      variant: "InvalidOffset",
      offset: file.indexOf("\n") + 1,
      key: "b",
    });
    expect(error.message).to.equal(`x.safetensors: "b": data_offsets [2, 3] where 1 comes next, at byte ${file.indexOf("\n") + 1}`);
  });

  it("accepts what the reference accepts although it looks wrong", async () => {
    const file = safetensorsFile(
      ' \n{"__metadata__":{"k":"1","k":"2"},"t":["I\\u0033\\u0032",[2],[1,9]],"z":{"dtype":"F64","shape":[0,4503599627370496],"data_offsets":[9,9],"more":{"a":[1.5e3]}},"":{"shape":[1],"data_offsets":[0,1],"dtype":"U8"}}',
      Buffer.alloc(9),
    );
    const tree = await safetensors.read(inputOf(file));
    expect((await digestTree(tree)).map(({ name, dtype, shape }) => [name, dtype, shape])).to.deep.equal([
      ["t", "int32", [2]],
      ["z", "float64", [0, 4503599627370496]],
      ["", "uint8", [1]],
    ]);
    expect([...tree.fileMetadata]).to.deep.equal([["k", "2"]]);
  });

  it("says that sizes above 2^53-1 beside a size of 0 are not supported", async () => {
    const file = safetensorsFile('{"z":{"dtype":"F32","shape":[0,9223372036854775807,3],"data_offsets":[0,0]}}');
    expect((await refusalOf(() => safetensors.read(inputOf(file)))).class).to.equal("unsupported");
  });

  it("gives names back that were dropped as duplicates, on the same storage", async () => {
    const tree = await safetensors.read(fixtureInput("accepted/safetensors/tied_alias.safetensors"));
    const leaves = leavesOf(tree.root);
    const [kept, tied] = [leaves.get("embed.weight"), leaves.get("lm_head.weight")] as TensorRef[];
    expect(tied?.storage).to.equal(kept?.storage);
    const spoof = safetensorsFile(
      '{"__metadata__":{"a":"b","format":"b","c":"none","b":"a"},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
      Buffer.alloc(1),
    );
    const root = (await safetensors.read(inputOf(spoof))).root as TreeDict;
    expect([...root.entries.keys()]).to.deep.equal(["b", "a"]);
  });

  it("reads packed values in torch's counting and keeps rows that end inside a byte opaque", async () => {
    const file = safetensorsFile(
      '{"p":{"dtype":"F4","shape":[2,4],"data_offsets":[0,4]},"o":{"dtype":"F4","shape":[2,3],"data_offsets":[4,7]},"s":{"dtype":"F6_E3M2","shape":[4],"data_offsets":[7,10]}}',
      Buffer.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    );
    const tree = await safetensors.read(inputOf(file));
    const [p, o, s] = ["p", "o", "s"].map((name) => (tree.root as TreeDict).entries.get(name));
    expect(o).to.be.instanceOf(OpaqueValue);
    expect([(p as TensorRef).dtype, (p as TensorRef).shape]).to.deep.equal(["float4_e2m1fn_x2", [2, 2]]);
    expect([...(await tensorBytes(tree, p as TensorRef))]).to.deep.equal([1, 2, 3, 4]);
    expect([...(await tensorBytes(tree, s as TensorRef))]).to.deep.equal([8, 9, 10]);
    expect(tree.warnings.map(({ code }) => code)).to.deep.equal(["safetensors-packed-rows"]);
  });

  it("counts tensors, ranks and names against the limits", async () => {
    const file = safetensorsFile(
      '{"ab":{"dtype":"U8","shape":[1,1],"data_offsets":[0,1]},"c":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}',
      Buffer.alloc(2),
    );
    for (const [limit, value] of [
      ["tensors", 1],
      ["tensorRank", 1],
      ["tensorNameBytes", 1],
      ["jsonDepth", 2],
    ] as const) {
      const error = await refusalOf(() => openSafetensors(inputOf(file, { limits: { [limit]: value } })));
      expect([error.class, error.details["limit"]]).to.deep.equal(["limit", limit]);
    }
    const headerBytes = file.length - 2 - 8;
    await openSafetensors(inputOf(file, { limits: { safetensorsHeaderBytes: headerBytes } }));
    const error = await refusalOf(() => openSafetensors(inputOf(file, { limits: { safetensorsHeaderBytes: headerBytes - 1 } })));
    expect([error.class, error.details["limit"]]).to.deep.equal(["limit", "safetensorsHeaderBytes"]);
    const forbidden = Buffer.concat([Buffer.alloc(8), Buffer.from("{}")]);
    forbidden.writeBigUInt64LE(100_000_001n);
    const beyond = await refusalOf(() => openSafetensors(inputOf(forbidden, { limits: { safetensorsHeaderBytes: 10 } })));
    expect(beyond.details).to.deep.equal({ file: "memory", variant: "HeaderTooLarge", offset: 0 });
    const trailing = await refusalOf(() => openSafetensors(inputOf(Buffer.concat([file, Buffer.of(0)]))));
    expect(trailing.details["offset"]).to.equal(file.length);
  });

  it("agrees with a slow statement of the rules on random headers", async () => {
    const names = ["U8", "I16", "F32", "F64", "F4", "F6_E2M3", "BOOL"];
    const entry = fc.record({
      dtype: fc.constantFrom(...names),
      shape: fc.array(fc.nat(3), { maxLength: 3 }),
      begin: fc.nat(12),
      slack: fc.constantFrom(0, 0, 0, 0, 0, 0, 1, -1),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(entry, { maxLength: 5 }),
        fc.nat(15),
        fc.boolean(),
        fc.infiniteStream(fc.nat()),
        async (drafts, size, chained, keys) => {
          const entries = layOut(drafts, chained);
          const bytes = chained ? Math.max(0, ...entries.map(({ span }) => span[1])) : size;
          // Offsets decide, not the order of the header.
          const shuffled = entries.map((each) => [keys.next().value as number, each] as const).sort(([a], [b]) => a - b);
          const header = Object.fromEntries(
            shuffled.map(([, { dtype, shape, span }], index) => [`t${index}`, { dtype, shape, data_offsets: span }]),
          );
          const file = safetensorsFile(JSON.stringify(header), Buffer.alloc(bytes));
          const accepted = await openSafetensors(inputOf(file)).then(
            () => true,
            (error: unknown) => {
              if (error instanceof CheckpointError) return false;
              throw error;
            },
          );
          expect(accepted).to.equal(
            entries.every(({ sized }) => sized) &&
              coveredOnce(
                entries.map(({ span }) => span),
                bytes,
              ),
          );
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("turns every change of one byte and every cut into an equal header, a visible difference or a typed error", async () => {
    const file = safetensorsFile(
      '{"__metadata__":{"tied":"b"},"b":{"dtype":"F16","shape":[2,1],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[3],"data_offsets":[4,7]}}',
      Buffer.from([1, 2, 3, 4, 5, 6, 7]),
    );
    for (let at = 0; at < file.length; at += 1) {
      await expectTyped(file.subarray(0, at), true);
      for (let byte = 0; byte < 256; byte += 1) {
        const changed = Buffer.from(file);
        changed[at] = byte;
        await expectTyped(changed, false);
      }
    }
  });
});

/** Reads; what is accepted must cover the data exactly and say the same as JSON.parse. */
async function expectTyped(file: Uint8Array, refused: boolean): Promise<void> {
  try {
    const tree = await safetensors.read(inputOf(file));
    expect(refused).to.equal(false);
    const length = Number(Buffer.from(file).readBigUInt64LE(0));
    const header = JSON.parse(Buffer.from(file.subarray(8, 8 + length)).toString()) as Record<string, { dtype: string; shape: number[] }>;
    let bytes = 0;
    for (const [name, leaf] of leavesOf(tree.root)) {
      const stored = header[name] ?? header[tree.fileMetadata.get(name) ?? ""];
      if (header[name] && leaf instanceof TensorRef) bytes += leaf.storage.nbytes;
      expect(stored?.shape).to.deep.equal((leaf as TensorRef).shape);
      expect(stored?.dtype ?? (stored as unknown as string[])[0]).to.equal(DTYPES.get((leaf as TensorRef).dtype)?.safetensors);
    }
    expect(bytes).to.equal(file.length - 8 - length);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
  }
}

interface Draft {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly slack: number;
}

/** Spans for drafts: one after the other when chained, else where the draft says; `sized` when the span fits shape and dtype. */
function layOut(
  drafts: readonly Draft[],
  chained: boolean,
): { dtype: string; shape: readonly number[]; span: [number, number]; sized: boolean }[] {
  let next = 0;
  return drafts.map(({ dtype, shape, begin, slack }) => {
    const bits =
      shape.reduce((product, size) => product * size, 1) *
      (dtype === "F4" ? 4 : ([...DTYPES.values()].find((each) => each.safetensors === dtype)?.bits ?? 0));
    const from = chained ? next : begin;
    const to = Math.max(0, from + Math.floor(bits / 8) + slack);
    next = to;
    return { dtype, shape, span: [from, to], sized: bits % 8 === 0 && to - from === bits / 8 };
  });
}

/** Byte by byte: each one belongs to one tensor, and no empty tensor stands inside another or behind the end. */
function coveredOnce(spans: readonly [number, number][], size: number): boolean {
  for (let byte = 0; byte < Math.max(size, 64); byte += 1) {
    const owners = spans.filter(([begin, end]) => begin <= byte && byte < end).length;
    if (owners !== (byte < size ? 1 : 0)) return false;
  }
  return spans.every(([begin, end]) => end > begin || (end === begin && begin <= size && !spans.some(([b, e]) => b < begin && begin < e)));
}
