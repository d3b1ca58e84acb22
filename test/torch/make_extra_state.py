"""Saves a model whose modules keep extra state of every kind, and records what torch gives to `set_extra_state` when it is loaded.

    python3 make_extra_state.py FOLDER

Writes FOLDER/torch-<version>.pt (zip), FOLDER/torch-<version>.legacy.pt and FOLDER/torch-<version>.json. The model was wrapped as DataParallel wraps
it. test/src/core/load/extra-state.test.ts loads the files. Needs torch 1.13 or newer; `test/fixtures-extra-state` was made with 1.13 and 2.13.
"""

import io
import json
import os
import sys
from collections import OrderedDict

import torch
from torch import nn


class Recipe:
    """A class that no reader of the file knows."""

    def __init__(self):
        self.margin = 2
        self.scale = torch.tensor([4.0, 5.0])
        self.names = ["e4m3", "e5m2"]


class Stateful(nn.Module):
    """A module that keeps one value beside a weight."""

    def __init__(self, state):
        super().__init__()
        self.weight = nn.Parameter(torch.arange(4.0))
        self.state = state
        self.was_set = False

    def get_extra_state(self):
        return self.state

    def set_extra_state(self, state):
        self.state = state
        self.was_set = True


def states():
    history = torch.arange(6.0).reshape(2, 3)
    shared = {"step": 7, "scale": history}
    buffer = io.BytesIO(b"\x00pickled by an older release\xff")
    fp8 = OrderedDict(
        scale_fwd=torch.tensor([0.5, 2.0, 4.0]),
        amax=history.t(),
        recipe={"margin": 0, "format": "HYBRID", "override": (True, False, None)},
        nested=[1, 2.5, ["x", {"deep": [torch.tensor(3, dtype=torch.int64)]}], float("inf")],
        big=2**80,
        raw=b"\x01\x02",
        phase=complex(1.5, -2.0),
        by_step={(0, "a"): torch.tensor([True, False]), 3: "three", None: -1},
        names={"only"},
        size=torch.Size([2, 3]),
        sparse=torch.sparse_coo_tensor([[1, 3]], [7.0, 8.0], (5,)),
    )
    return {
        "fp8": fp8,
        "list": [history[0], history[1], []],
        "empty": {},
        "none": None,
        "text": "calibrated",
        "number": 3,
        "tensor": torch.tensor([1, 2, 255], dtype=torch.uint8),
        "object": Recipe(),
        "stream": {"state": buffer, "recipe": Recipe},
        "one": shared,
        "two": {"same": shared, "again": shared["scale"]},
    }


def model():
    net = nn.Module()
    for name, state in states().items():
        net.add_module(name, Stateful(state))
    return net


def plain(value):
    """A value as JSON that says what it is."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else {"integer": str(value)}
    if isinstance(value, float):
        return value if abs(value) < float("inf") else {"float": str(value)}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, torch.Tensor) and value.is_sparse:
        parts = [["indices", plain(value._indices())], ["values", plain(value._values())]]
        return {"dict": parts}
    if isinstance(value, torch.Tensor):
        return {"tensor": [str(value.dtype).replace("torch.", ""), list(value.shape), [float(each) for each in value.reshape(-1).tolist()]]}
    if isinstance(value, dict):
        return {"dict": [[key_of(key), plain(each)] for key, each in value.items()]}
    if isinstance(value, (list, tuple, set)):
        return {"sequence": [plain(each) for each in value]}
    return {"object": name_of(value)}


def name_of(value):
    """The name of a class as pickles spell it; classes themselves are values, too."""
    kind = value if isinstance(value, type) else type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def key_of(key):
    return {"tuple": list(key)} if isinstance(key, tuple) else key


def main():
    folder = sys.argv[1]
    version = ".".join(torch.__version__.split(".")[:2])
    saved = nn.DataParallel(model()).state_dict()
    base = os.path.join(folder, f"torch-{version}")
    torch.save({"state_dict": saved, "epoch": 3}, f"{base}.pt")
    torch.save({"state_dict": saved, "epoch": 3}, f"{base}.legacy.pt", _use_new_zipfile_serialization=False)
    options = {} if version.startswith("1.") else {"weights_only": False}
    loaded = torch.load(f"{base}.pt", **options)["state_dict"]
    target = nn.Module()
    for name in states():
        target.add_module(name, Stateful("fresh"))
    target.load_state_dict(OrderedDict((key[len("module."):], value) for key, value in loaded.items()))
    assert all(child.was_set for child in target.children())
    recorded = {name: plain(child.state) for name, child in target.named_children()}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(state)}" for name, state in recorded.items())
    with open(f"{base}.json", "w", encoding="utf-8") as out:
        out.write(f'{{"torch": {json.dumps(torch.__version__)}, "states": {{\n{lines}\n}}}}\n')


if __name__ == "__main__":
    main()
