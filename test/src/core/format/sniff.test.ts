import { describeContent } from "@rankcast/core/internal";
import { expect } from "chai";
import { fixtureBytes } from "../../support/fixtures.ts";

const describeText = (text: string): string => describeContent(Buffer.from(text, "latin1"), text.length);

describe("describeContent", () => {
  it("names what the fixtures really are", () => {
    const names = [
      ["truncated/empty_file.pt", "an empty file"],
      ["unknown-format/html_404.pth", "an HTML page (a login or error page, most likely)"],
      ["unknown-format/html_lower.bin", "an HTML page (a login or error page, most likely)"],
      ["unknown-format/git_lfs_pointer.bin", "a Git LFS pointer, not the file it points to"],
      ["unknown-format/gzip_of_pt.pt", "a gzip file"],
      ["unknown-format/png.pt", "a PNG image"],
      ["unknown-format/seven_zip.pt", "a 7z archive"],
      ["unknown-format/hdf5.h5", "an HDF5 file (Keras weights, for example)"],
      ["unknown-format/json_error.safetensors", "a JSON error message"],
      ["unknown-format/zeros.pt", "zeros (space that was reserved and never written)"],
      ["unknown-format/xml_denied.pth", "an XML document (a storage service's error message, most likely)"],
      ["unknown-format/zstd.pt", "a Zstandard file"],
      ["unknown-format/empty_zip.pt", "an empty zip archive"],
      ["unknown-format/tar_ordinary.pth.tar", "a tar archive that holds no checkpoint"],
    ] as const;
    for (const [path, name] of names) {
      const bytes = fixtureBytes(`refused/${path}`);
      expect(describeContent(bytes.subarray(0, 4096), bytes.length)).to.equal(name);
    }
  });

  it("knows files of other frameworks", () => {
    expect(describeText("\x08\x01\x12\x05")).to.equal("a TensorFlow SavedModel");
    expect(describeText('model_checkpoint_path: "model.ckpt-7"')).to.contain("TensorFlow checkpoint");
    expect(describeText("\0\0\x06\x08\x01\x1a\x02\x08\x01\0\x04\x22conv1/bias")).to.equal("the index of a TensorFlow checkpoint");
    expect(describeText("\x1c\0\0\0TFL3")).to.equal("a TensorFlow Lite model");
    expect(describeText("\x08\x07\x12\x07pytorch\x1a\x03")).to.equal("an ONNX model");
    expect(describeText('{"a": 1}')).to.equal("a JSON document that describes no checkpoint");
  });

  it("quotes text and lists bytes, capped and without control characters", () => {
    expect(describeText(`epoch 1 "loss" 0.5\n${"x".repeat(500)}`)).to.match(/^text that begins with "epoch 1 \\"loss\\" 0.5/);
    expect(describeText(`epoch${"x".repeat(500)}`).length).to.be.below(100);
    expect(describeContent(Buffer.from([1, 2, 255, 7, 8, 9, 10, 11, 12]), 9)).to.equal(
      "unknown data that begins with the bytes 01 02 ff 07 08 09 0a 0b",
    );
  });
});
