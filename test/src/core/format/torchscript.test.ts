import { expect } from "chai";
import { readFile, TWELVE, torchZipFile } from "../../support/torch-file.ts";
import { bytesOf, dict, global, type Part, pickle, tensor, text } from "../../support/write-pickle.ts";

const CODE = `op_version_set = 1
class Net(Module):
  __parameters__ = ["w", "v", ]
  __buffers__ = ["b", ]
  w : Tensor
  child : __torch__.nets.Child
  def forward(self: __torch__.nets.Net) -> Tensor:
    x = "__parameters__ = [\\"x\\", ]"
class Child(Module):
  __parameters__ = []
  __buffers__ = []
`;

const object = (name: string, pairs: readonly (readonly [Part, Part])[]): Uint8Array =>
  bytesOf(global("__torch__.nets", name), ")\x81", dict(pairs), "b");
const child = object("Child", [[text("attribute"), tensor()]]);
const net = object("Net", [
  [text("b"), tensor()],
  [text("stray"), tensor()],
  [text("child"), child],
  [text("training"), "\x88"],
  [text("v"), tensor()],
  [text("w"), tensor()],
]);
const archive = (root: Uint8Array, code: Record<string, string>): Uint8Array =>
  torchZipFile({
    pickle: pickle(root),
    extra: [
      { name: "archive/constants.pkl", bytes: pickle(")") },
      ...Object.entries(code).map(([name, source]) => ({ name: `archive/code/${name}`, bytes: Buffer.from(source) })),
    ],
  });

describe("TorchScript archives", () => {
  it("have a state dict: declared parameters, then declared buffers, then submodules", async () => {
    const { tensors, tree } = await readFile(archive(net, { "__torch__/nets.py": CODE }));
    expect(tensors.map(({ name }) => name)).to.deep.equal(["w", "v", "b"]);
    expect(tree.warnings).to.deep.include({
      code: "script-attributes-dropped",
      message: "2 tensors of a TorchScript archive are neither parameters nor buffers",
    });
  });

  it("keep all tensors of classes without a declaration", async () => {
    const { tensors } = await readFile(archive(net, { "__torch__/other.py": CODE, "notes.txt": CODE }));
    expect(tensors.map(({ name }) => name)).to.include.members(["b", "stray", "child.attribute", "v", "w"]);
  });

  it("take declarations from class bodies only", async () => {
    const strange = `  __parameters__ = ["stray"]\n  __buffers__ = []\nclass Net(Module):\n    __parameters__ = ["stray"]\n`;
    expect((await readFile(archive(net, { "__torch__/nets.py": strange }))).tensors).to.have.length(5);
  });

  it("survive a module that holds itself", async () => {
    const cyclic = bytesOf(
      global("__torch__.nets", "Net"),
      ")\x81q\x00",
      dict([
        [text("w"), tensor()],
        [text("me"), "h\x00"],
      ]),
      "b",
    );
    expect((await readFile(archive(cyclic, { "__torch__/nets.py": CODE }))).tensors.map(({ name }) => name)).to.deep.equal(["w"]);
    expect(TWELVE).to.have.length(48);
  });
});
