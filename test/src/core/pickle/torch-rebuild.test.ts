import { OpaqueValue, TensorRef } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { plain } from "../../support/plain-tree.ts";
import { pickleOf, readFile, readW, TWELVE, torchZipFile } from "../../support/torch-file.ts";
import { call, dict, global, int, storage, tensor, text, tuple } from "../../support/write-pickle.ts";

const LAYOUT = [int(0), tuple(int(3), int(4)), tuple(int(4), int(1))];
const HOOKS = call("collections", "OrderedDict");
const UNTYPED = { type: global("torch.storage", "UntypedStorage"), numel: int(48) };
const v3 = (dtype: Uint8Array, layout = LAYOUT): Uint8Array =>
  call("torch._utils", "_rebuild_tensor_v3", storage(UNTYPED), ...layout, "\x89", HOOKS, dtype);

describe("dense tensors", () => {
  it("are made by the functions of every age", async () => {
    const expected = { dtype: "float32", shape: [3, 4], stride: [4, 1], storageOffset: 0, storage: "0" };
    expect(plain(await readW(call("torch._utils", "_rebuild_tensor", storage(), ...LAYOUT)))).to.deep.equal(expected);
    expect(plain(await readW(tensor()))).to.deep.equal(expected);
    expect(plain(await readW(v3(global("torch", "float32"))))).to.deep.equal(expected);
    const old = Buffer.concat([
      global("torch", "FloatTensor"),
      Buffer.from(")\x81", "latin1"),
      tuple(storage(), ...LAYOUT),
      Buffer.from("b"),
    ]);
    expect(plain(await readW(old))).to.deep.equal(expected);
  });

  it("of untyped storages have the dtype of the tensor; offsets count its elements", async () => {
    const layout = [int(2), tuple(int(4)), tuple(int(1))];
    expect(plain(await readW(v3(global("torch", "uint64"), layout)))).to.include({ dtype: "uint64", storageOffset: 2 });
    await expectError("RANKCAST_TENSOR_LAYOUT", readW(v3(global("torch", "uint64"), [int(3), tuple(int(4)), tuple(int(1))])));
    await expectError("RANKCAST_TENSOR_TYPE", readW(tensor(UNTYPED)));
  });

  it("are refused with a dtype that is unknown, a text, or a call", async () => {
    for (const name of ["float7", "uint3", "float6_e2m3", "FloatStorage"])
      await expectError("RANKCAST_TENSOR_TYPE", readW(v3(global("torch", name))));
    await expectError("RANKCAST_TENSOR_TYPE", readW(v3(global("acme", "float32"))));
    await expectError("RANKCAST_PICKLE_CALL", readW(v3(text("float32"))));
    await expectError("RANKCAST_PICKLE_CALL", readW(v3(call("os", "getenv", text("float32")))));
  });

  it("keep the lazy flags, and refuse flags that are not known", async () => {
    const complex = { type: global("torch", "ComplexFloatStorage"), numel: int(6), size: tuple(int(6)), stride: tuple(int(1)) };
    const flags = (names: readonly string[]): Uint8Array => dict(names.map((name) => [text(name), "\x88"]));
    expect(await readW(tensor({ ...complex, rest: [flags(["conj", "neg"])] }))).to.include({ conj: true, neg: true });
    expect(await readW(tensor({ rest: [flags(["neg"])] }))).to.include({ conj: false, neg: true });
    expect(await readW(tensor({ rest: ["N"] }))).to.include({ conj: false, neg: false });
    await expectError("RANKCAST_TENSOR_LAYOUT", readW(tensor({ rest: [flags(["conj"])] })));
    await expectError("RANKCAST_TENSOR_TYPE", readW(tensor({ rest: [flags(["zero"])] })));
    await expectError("RANKCAST_PICKLE_CALL", readW(tensor({ rest: ["]"] })));
  });

  it("are refused with arguments that are none", async () => {
    for (const name of ["_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_qtensor", "_rebuild_parameter"]) {
      await expectError("RANKCAST_PICKLE_CALL", readW(call("torch._utils", name)));
    }
    for (const wrong of [text("0"), "N", call("os", "system", text("x")), int(0)]) {
      await expectError("RANKCAST_PICKLE_CALL", readW(call("torch._utils", "_rebuild_tensor_v2", wrong, ...LAYOUT, "\x89", HOOKS)));
    }
    await expectError("RANKCAST_PICKLE_CALL", readW(tensor({ requiresGrad: int(1) })));
  });

  it("of the meta device have no bytes", async () => {
    const meta = (size: Uint8Array, stride: Uint8Array): Promise<unknown> =>
      readW(call("torch._utils", "_rebuild_meta_tensor_no_storage", global("torch", "bfloat16"), size, stride, "\x88"));
    const value = (await meta(tuple(int(2 ** 20), int(2 ** 20)), tuple(int(2 ** 20), int(1)))) as TensorRef;
    expect([value.storage.meta, value.storage.nbytes, value.requiresGrad]).to.deep.equal([true, 2 ** 41, true]);
    await expectError("RANKCAST_TENSOR_LAYOUT", meta(tuple(int(2 ** 30), int(2 ** 30)), tuple(int(2 ** 30), int(1))));
    await expectError("RANKCAST_TENSOR_LAYOUT", meta(tuple(int(-1)), tuple(int(1))));
  });

  it("of devices without pickles are what was saved for them", async () => {
    const device = (name: string, dtype: string): Uint8Array =>
      call("torch._utils", name, tensor(), global("torch", dtype), text("xla:0"), "\x88");
    for (const name of ["_rebuild_device_tensor_from_numpy", "_rebuild_device_tensor_from_cpu_tensor", "_rebuild_xla_tensor"]) {
      expect(await readW(device(name, "float32"))).to.include({ dtype: "float32", requiresGrad: true });
    }
    const { tree } = await readFile(torchZipFile({ pickle: pickleOf(device("_rebuild_xla_tensor", "bfloat16")) }));
    expect(tree.warnings.map(({ code }) => code)).to.include("device-tensor-dtype");
    await expectError(
      "RANKCAST_PICKLE_CALL",
      readW(call("torch._utils", "_rebuild_xla_tensor", text("x"), global("torch", "float32"), text("x"), "\x88")),
    );
  });
});

describe("parameters and other wrappings", () => {
  it("are tensors that say what they are", async () => {
    expect(await readW(call("torch._utils", "_rebuild_parameter", tensor(), "\x88", HOOKS))).to.include({
      origin: "parameter",
      requiresGrad: true,
    });
    expect(await readW(call("torch._utils", "_rebuild_parameter", tensor(), "\x89", HOOKS))).to.include({ requiresGrad: false });
    expect(await readW(call("torch.nn.parameter", "Parameter", tensor()))).to.include({ origin: "parameter", requiresGrad: true });
    expect(await readW(call("torch.nn.parameter", "Parameter", tensor(), "\x89"))).to.include({ requiresGrad: false });
    const bytes = torchZipFile({
      pickle: pickleOf(call("torch._utils", "_rebuild_parameter_with_state", tensor(), "\x88", HOOKS, dict([]))),
    });
    expect((await readFile(bytes)).tree.warnings.map(({ code }) => code)).to.deep.equal(["tensor-attributes-dropped"]);
  });

  it("of torch 0.1 to 0.3 get their content or their flag by BUILD", async () => {
    const build = (head: string, state: Uint8Array): Uint8Array => Buffer.concat([Buffer.from(head, "latin1"), state, Buffer.from("b")]);
    const made = "ctorch.nn.parameter\nParameter\n)\x81";
    expect(await readW(build(made, tuple(storage(), ...LAYOUT)))).to.include({ origin: "parameter", requiresGrad: true });
    expect(await readW(build(made, tuple(tensor(), "N", HOOKS, "\x89", "\x89")))).to.include({ origin: "parameter", requiresGrad: false });
    const wrapped = Buffer.concat([global("torch.nn.parameter", "Parameter"), tuple(tensor()), Buffer.from("\x81q\x63", "latin1")]);
    const flagged = Buffer.concat([wrapped, tuple("\x89", "\x89", HOOKS), Buffer.from("b0h\x63", "latin1")]);
    expect(await readW(flagged)).to.include({ origin: "parameter", requiresGrad: false });
    for (const state of [tuple(int(1)), tuple(tensor(), tensor()), text("x")]) {
      await expectError("RANKCAST_PICKLE_CALL", readW(build(made, state)));
      await expectError("RANKCAST_PICKLE_CALL", readW(build("ctorch\nFloatTensor\n)\x81", state)));
    }
  });

  it("of old tensors are known wherever the memo has them", async () => {
    const old = Buffer.concat([
      Buffer.from("ctorch\nFloatTensor\n)\x81q\x07q\x08", "latin1"),
      tuple(storage(), ...LAYOUT),
      Buffer.from("bh\x07h\x08\x87", "latin1"),
    ]);
    const value = (await readW(old)) as unknown as { elements: TensorRef[] };
    expect(value.elements[0]).to.be.instanceOf(TensorRef);
    expect(value.elements[1]).to.equal(value.elements[0]);
    expect(value.elements[2]).to.equal(value.elements[0]);
  });

  it("follow the function of a type only when it rebuilds tensors", async () => {
    const fromType = (rebuild: Uint8Array, type: Uint8Array, args: Uint8Array, state: Uint8Array | string = "N"): Uint8Array =>
      call("torch._tensor", "_rebuild_from_type_v2", rebuild, type, args, state);
    const dense = tuple(storage(), ...LAYOUT, "\x89", HOOKS);
    const v2 = global("torch._utils", "_rebuild_tensor_v2");
    expect(await readW(fromType(v2, global("torch", "Tensor"), dense, dict([])))).to.include({ origin: "tensor" });
    expect(await readW(fromType(v2, global("torch.nn.parameter", "Parameter"), dense))).to.include({ origin: "parameter" });
    expect(await readW(fromType(v2, global("acme", "Tagged"), dense))).to.be.instanceOf(TensorRef);
    for (const rebuild of [
      global("os", "system"),
      global("torch._tensor", "_rebuild_from_type_v2"),
      global("collections", "OrderedDict"),
    ]) {
      const value = await readW(fromType(rebuild, global("acme", "T"), tuple(text("x"))));
      expect(value).to.be.instanceOf(OpaqueValue);
      expect((value as OpaqueValue).global).to.equal("acme.T");
    }
    expect(await readW(fromType(global("os", "system"), global("acme", "T"), tuple()))).to.include({ dangerous: true });
    await expectError("RANKCAST_PICKLE_CALL", readW(fromType(v2, text("Tensor"), dense)));
    await expectError("RANKCAST_PICKLE_CALL", readW(fromType(v2, global("torch", "Tensor"), text("x"))));
  });

  it("a DTensor is an object with its local part, never a tensor", async () => {
    const wrapper = tuple(
      global("torch.distributed.tensor", "DTensor"),
      global("torch", "float32"),
      tuple(int(6), int(4)),
      tuple(int(4), int(1)),
      int(0),
      "N",
      "N",
      "\x89",
    );
    const state = dict([
      [text("_local_tensor"), tensor()],
      [text("_spec"), "N"],
    ]);
    const shard = call(
      "torch._tensor",
      "_rebuild_from_type_v2",
      global("torch._utils", "_rebuild_wrapper_subclass"),
      global("torch.distributed.tensor", "DTensor"),
      wrapper,
      state,
    );
    const value = await readW(shard);
    expect(plain(value)).to.have.property("global", "torch.distributed.tensor.DTensor");
    expect((await readFile(torchZipFile({ pickle: pickleOf(shard) }))).tensors).to.deep.equal([]);
    const parameter = await readW(call("torch._utils", "_rebuild_parameter", shard, "\x88", HOOKS));
    expect(parameter).to.be.instanceOf(OpaqueValue);
  });

  it("hooks are code and are left out, with a warning", async () => {
    const hooks = Buffer.concat([HOOKS, Buffer.from("K\x01"), call("acme", "hook"), Buffer.from("s")]);
    const { tree } = await readFile(torchZipFile({ pickle: pickleOf(tensor({ hooks })) }));
    expect(tree.warnings.map(({ code }) => code)).to.deep.equal(["backward-hooks-dropped"]);
  });

  it("a torch.Size is a sequence of its own kind", async () => {
    expect(plain(await readW(call("torch", "Size", tuple(int(2), int(3)))))).to.deep.equal(["Size", 2, 3]);
    const sized = tensor({ size: call("torch", "Size", tuple(int(3), int(4))) });
    expect(plain(await readW(sized))).to.include({ dtype: "float32" });
  });

  it("devices, dtypes and layouts are named objects", async () => {
    expect(plain(await readW(call("torch", "device", text("cuda"), int(1))))).to.deep.equal({ global: "torch.device", args: ["cuda", 1] });
    expect(plain(await readW(global("torch", "bfloat16")))).to.deep.equal({ global: "torch.bfloat16" });
    expect(plain(await readW(call("torch.serialization", "_get_layout", text("torch.strided"))))).to.have.property("args");
  });

  it("every dtype that torch saves with a storage class of its own is read", async () => {
    const classes: readonly (readonly [string, string, number])[] = [
      ["Float", "float32", 12],
      ["Double", "float64", 6],
      ["Half", "float16", 24],
      ["BFloat16", "bfloat16", 24],
      ["Char", "int8", 48],
      ["Byte", "uint8", 48],
      ["Short", "int16", 24],
      ["Int", "int32", 12],
      ["Long", "int64", 6],
      ["Bool", "bool", 48],
      ["ComplexFloat", "complex64", 6],
      ["ComplexDouble", "complex128", 3],
    ];
    for (const [name, dtype, numel] of classes) {
      const parts = { type: global("torch", `${name}Storage`), numel: int(numel), size: tuple(int(numel)), stride: tuple(int(1)) };
      expect(await readW(tensor(parts)), name).to.include({ dtype });
      await expectError("RANKCAST_TENSOR_LAYOUT", readW(tensor({ ...parts, size: tuple(int(numel + 1)) })));
    }
    expect(TWELVE).to.have.length(48);
  });
});
