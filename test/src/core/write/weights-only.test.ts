/**
 * What we write is read by `torch.load(weights_only=True)`: every opcode and global of our pickles is one its restricted unpickler takes. The lists
 * are facts of torch 2.13's `torch/_weights_only_unpickler.py`; `npm run test:torch` has torch itself read such files.
 */
import { CheckpointError, ComplexValue, DTYPES, type DType, KeyTuple, StateDict, Storage, Tensor } from "@rankcast/core";
import { planTorch } from "@rankcast/core/internal";
import { expect } from "chai";
import { readTokens } from "../../fuzz/pickle-tokens.ts";

/** One byte each; PROTO other than 2 only earns a warning. */
const OPCODES = new Set(Buffer.from("c\x81Rbaesu(t\x85\x86\x87N\x89\x88)]}\x8fQJKMGhjqrXU\x8a\x80.", "latin1"));

const GLOBALS = new Set([
  "collections.OrderedDict",
  "collections.Counter",
  "torch.nn.parameter.Parameter",
  "torch.serialization._get_layout",
  "torch.Size",
  "torch.Tensor",
  "torch.device",
  "_codecs.encode",
  // As Python 2 calls them; torch renames before it looks.
  "__builtin__.set",
  "__builtin__.complex",
  "torch._tensor._rebuild_from_type_v2",
  "torch.storage.TypedStorage",
  "torch.storage.UntypedStorage",
  ...["", "_v2", "_v3"].map((version) => `torch._utils._rebuild_tensor${version}`),
  ...["parameter", "parameter_with_state", "qtensor", "sparse_tensor", "meta_tensor_no_storage", "wrapper_subclass"].map(
    (name) => `torch._utils._rebuild_${name}`,
  ),
  ...["Double", "Float", "Half", "Long", "Int", "Short", "Char", "Byte", "Bool", "BFloat16", "ComplexDouble", "ComplexFloat"].map(
    (name) => `torch.${name}Storage`,
  ),
  ...["QUInt8", "QInt8", "QInt32", "QUInt4x2", "QUInt2x4"].map((name) => `torch.${name}Storage`),
  ...[...DTYPES.keys()].map((dtype) => `torch.${dtype}`),
]);

/** Names that torch's restricted reader would refuse in a pickle of ours, and opcodes. */
function refusedOf(pickle: Uint8Array): readonly string[] {
  const { tokens } = readTokens(pickle, 1);
  expect(tokens.reduce((sum, token) => sum + token.length, 0)).to.equal(pickle.length);
  const refused: string[] = [];
  for (const token of tokens) {
    const opcode = token[0] ?? 0;
    if (!OPCODES.has(opcode)) refused.push(`opcode 0x${opcode.toString(16)}`);
    const [module, name] = Buffer.from(token).toString("latin1", 1).split("\n");
    if (opcode === 0x63 && !GLOBALS.has(`${module}.${name}`)) refused.push(`${module}.${name}`);
  }
  return refused;
}

/** Null for the few types that saveTorch refuses: quantised ones without their scale, six-bit floats, which torch does not have. */
function pickleOf(tensor: Tensor): Uint8Array | null {
  try {
    return planTorch(new Map([["x", tensor]])).pickle;
  } catch (error) {
    if (error instanceof CheckpointError && error.code === "RANKCAST_SAVE_DTYPE") return null;
    throw error;
  }
}

describe("torch.load(weights_only=True)", () => {
  const one = (dtype: DType, more: Partial<ConstructorParameters<typeof Tensor>[0]> = {}): Tensor =>
    new Tensor({ dtype, shape: [2], storage: Storage.allocate(64), ...more });

  it("knows every opcode and name of what we write", () => {
    let written = 0;
    for (const dtype of DTYPES.keys()) {
      const pickle = pickleOf(one(dtype));
      if (pickle === null) continue;
      written += 1;
      expect(refusedOf(pickle), dtype).to.deep.equal([]);
    }
    expect(written).to.be.greaterThan(20);
    const stateDict = new StateDict([
      ["grad", one("float32", { requiresGrad: true })],
      ["conj", one("complex64", { conj: true })],
      ["neg", one("float32", { neg: true })],
      ["meta", one("float32", { storage: new Storage(null, 0, 64) })],
      ["strided", one("float32", { shape: [2, 2], stride: [0, 3], storageOffset: 1 })],
      ["scalar", one("int64", { shape: [] })],
      ["empty", one("float32", { shape: [0, 300, 70_000] })],
      ["näme 🙂", one("float64")],
    ]);
    for (let index = 0; index < 3000; index += 1) stateDict.set(`layer.${index}`, one("float32"));
    stateDict.metadata.set("", { version: 1 }).set("bn", { version: 2 });
    const cyclic: unknown[] = [new Uint8Array(300), new ComplexValue(1, 2), new Set([1]), new Map([[new KeyTuple([1, "a"]), null]])];
    cyclic.push(cyclic);
    stateDict.extraState.set("extra", cyclic);
    expect(refusedOf(planTorch(stateDict).pickle)).to.deep.equal([]);
  });

  it("would notice others", () => {
    expect(refusedOf(Buffer.from("\x80\x02ccollections\ndefaultdict\n)R.", "latin1"))).to.deep.equal(["collections.defaultdict"]);
    expect(refusedOf(Buffer.from("\x80\x02]\x940.", "latin1"))).to.deep.equal(["opcode 0x94", "opcode 0x30"]);
  });
});
