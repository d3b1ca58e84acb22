"""Describes a file as torch (or the safetensors library) reads it: one JSON document on stdout.

Usage: describe_saved.py FILE.pt|FILE.safetensors
Needs torch; safetensors files also need the safetensors package. torch files are read with weights_only=True.
"""
import hashlib
import json
import sys

import torch


def digest(tensor):
    flat = tensor.detach().resolve_conj().resolve_neg().contiguous()
    raw = flat.reshape(-1).view(torch.uint8) if flat.numel() else torch.empty(0, dtype=torch.uint8)
    return hashlib.sha256(bytes(raw.tolist())).hexdigest()


def storage_pointer(tensor):
    try:
        return tensor.untyped_storage().data_ptr()
    except AttributeError:
        return tensor.storage().data_ptr()


def describe(name, value, pointers):
    if not isinstance(value, torch.Tensor):
        return {"name": name, "value": repr(value)}
    meta = value.device.type == "meta"
    row = {
        "name": name,
        "dtype": str(value.dtype).replace("torch.", ""),
        "shape": list(value.shape),
        "stride": list(value.stride()),
        "offset": value.storage_offset(),
        "requiresGrad": value.requires_grad,
        "sha256": None if meta else digest(value),
        "storage": None if meta else pointers.setdefault(storage_pointer(value), len(pointers)),
    }
    return row


def load(path):
    if path.endswith(".safetensors"):
        from safetensors.torch import load_file

        return load_file(path), {}
    state = torch.load(path, map_location="cpu", weights_only=True)
    modules = {key: dict(value) for key, value in getattr(state, "_metadata", {}).items()}
    return state, modules


def main():
    state, modules = load(sys.argv[1])
    pointers = {}
    rows = [describe(name, value, pointers) for name, value in state.items()]
    print(json.dumps({"torch": torch.__version__, "rows": rows, "modules": modules}))


main()
