"""Writes checkpoints with random content in every way this Python can, and says what is in them: DIR/expected.json.

Usage: make_files.py DIR COUNT SEED
COUNT files of torch.save with random values, and a few of every other kind. Needs torch; numpy and safetensors are used where they are.
What this torch cannot make (float8 before 2.1, say) is left out and named in "missing".
"""
import collections
import hashlib
import io
import json
import os
import pickle
import random
import sys
import warnings
import zipfile

import numpy as np
import torch
from torch import nn

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
NUMPY = {"bool", "float16", "float32", "float64", "complex64", "complex128", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
DTYPES = """float32 float64 float16 bfloat16 int8 uint8 int16 int32 int64 bool complex64 complex128 complex32 uint16 uint32 uint64 float8_e4m3fn
    float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu float4_e2m1fn_x2 bits8 bits16 bits1x8 bits2x4 bits4x2""".split()
missing = {}


# ---------------------------------------------------------------- what is in a tensor
def untyped(tensor):
    return tensor.untyped_storage() if hasattr(tensor, "untyped_storage") else tensor.storage()._storage


def element_bytes(tensor):
    """Elements row-major, as they are stored, lazy bits resolved."""
    plain = tensor.detach()
    plain = plain.as_subclass(torch.Tensor) if type(plain) is not torch.Tensor else plain
    if plain.is_quantized:
        plain = plain.int_repr()
    if plain.dtype.is_complex:
        plain = plain.resolve_conj()
    plain = plain.resolve_neg() if hasattr(plain, "resolve_neg") and plain.is_neg() else plain
    if plain.numel() == 0:
        return b""
    try:
        return plain.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    except (RuntimeError, TypeError):
        # No kernel copies such elements: their bytes are picked out of the storage.
        raw, size = bytes(untyped(plain).tolist()), plain.element_size()
        offsets = [plain.storage_offset()]
        for length, step in zip(plain.shape, plain.stride()):
            offsets = [begin + index * step for begin in offsets for index in range(length)]
        return b"".join(raw[at * size : (at + 1) * size] for at in offsets)


def listed(name, tensor):
    meta = tensor.device.type == "meta"
    digest = None if meta else hashlib.sha256(element_bytes(tensor)).hexdigest()
    return {"name": name, "dtype": str(tensor.dtype).replace("torch.", ""), "shape": list(tensor.shape), "sha256": digest}


PARTS = {
    "sparse_coo": [("indices", "_indices"), ("values", "_values")],
    "sparse_csr": [("crow_indices", "crow_indices"), ("col_indices", "col_indices"), ("values", "values")],
    "sparse_csc": [("ccol_indices", "ccol_indices"), ("row_indices", "row_indices"), ("values", "values")],
}
PARTS["sparse_bsr"], PARTS["sparse_bsc"] = PARTS["sparse_csr"], PARTS["sparse_csc"]


class Content:
    """Everything that a reader lists of an object."""

    def __init__(self):
        self.tensors, self.opaque, self.groups, self.kept = [], [], collections.OrderedDict(), []

    def tensor(self, name, tensor):
        if tensor.is_nested or hasattr(tensor, "_local_tensor"):
            self.opaque.append(name)
            return
        parts = PARTS.get(str(tensor.layout).replace("torch.", ""))
        for suffix, getter in parts or []:
            self.tensors.append(listed(f"{name}.{suffix}", getattr(tensor, getter)()))
        if parts is None:
            self.tensors.append(listed(name, tensor))
            if tensor.device.type != "meta" and untyped(tensor).nbytes() > 0:
                storage = untyped(tensor)
                self.kept.append(storage)
                self.groups.setdefault(storage._cdata, []).append(name)

    def walk(self, value, name=""):
        inner = lambda key: str(key) if name == "" else f"{name}.{key}"
        if isinstance(value, torch.Tensor):
            self.tensor(name, value)
        elif isinstance(value, np.ndarray):
            native = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"))
            if native.dtype.name in NUMPY:
                digest = hashlib.sha256(native.tobytes()).hexdigest()
                self.tensors.append({"name": name, "dtype": native.dtype.name, "shape": list(value.shape), "sha256": digest})
            else:
                self.opaque.append(name)
        elif isinstance(value, nn.Module):
            for table, skip in ((value._parameters, ()), (value._buffers, value._non_persistent_buffers_set)):
                for key, tensor in table.items():
                    if tensor is not None and key not in skip:
                        self.tensor(inner(key), tensor)
            for key, child in value._modules.items():
                if child is not None:
                    self.walk(child, inner(key))
        elif isinstance(value, (dict, list, tuple)):
            for key, child in value.items() if isinstance(value, dict) else enumerate(value):
                self.walk(child, inner(key))

    def described(self, file, **more):
        aliases = [names for names in self.groups.values() if len(names) > 1]
        return {"file": file, "tensors": self.tensors, "opaque": self.opaque, "aliases": aliases, **more}


def content_of(value):
    content = Content()
    content.walk(value)
    return content


# ---------------------------------------------------------------- random values
rng = random.Random()


def attempt(what, make):
    try:
        return make()
    except Exception as error:
        missing.setdefault(what, f"{type(error).__name__}: {error}"[:120])
        return None


def shape(rank=None):
    return [rng.choice([0, 1, 1, 2, 3, 4, 5]) for _ in range(rng.randrange(4) if rank is None else rank)]


def of_dtype(name, size=None):
    dtype = getattr(torch, name)
    size = shape() if size is None else size
    count = 1
    for each in size:
        count *= each
    if dtype is torch.bool:
        return torch.randint(0, 2, size).bool()
    width = torch.empty(0, dtype=dtype).element_size()
    raw = torch.randint(0, 256, (max(count * width, 0),), dtype=torch.uint8)
    return raw.view(dtype).reshape(size) if count > 0 else torch.empty(size, dtype=dtype)


def dense():
    return torch.randn(4, 6, 2)


def lazy(tensor):
    """A view with a lazy bit. Before 2.0 torch forgot the bits when it saved, so that not even it reads the same numbers back."""
    if torch.__version__.startswith("1."):
        raise NotImplementedError("lazy bits are not saved")
    return tensor


def with_attribute(tensor):
    tensor.note = "kept"
    return tensor


def quantised():
    kind = getattr(torch, rng.choice(["qint8", "quint8", "qint32"]))
    return torch.quantize_per_tensor(torch.randn(3, 4), rng.uniform(0.01, 1), rng.randrange(5), kind)


def quantised_channels():
    kind = rng.choice([torch.qint8, torch.quint8])
    return torch.quantize_per_channel(torch.randn(3, 4), torch.rand(3) + 0.1, torch.randint(0, 5, (3,)), 0, kind)


def sparse():
    matrix = torch.randn(4, 6) * (torch.rand(4, 6) > 0.5)
    kind = rng.choice(["coo", "uncoalesced", "csr", "csc", "bsr", "bsc"])
    if kind == "coo":
        return matrix.to_sparse()
    if kind == "uncoalesced":
        return torch.sparse_coo_tensor(torch.randint(0, 3, (2, 5)), torch.randn(5), (3, 3))
    return {
        "csr": matrix.to_sparse_csr,
        "csc": lambda: matrix.to_sparse_csc(),
        "bsr": lambda: matrix.to_sparse_bsr((2, 3)),
        "bsc": lambda: matrix.to_sparse_bsc((2, 3)),
    }[kind]()


def nested():
    parts = [torch.randn(2, 3), torch.randn(4, 3)]
    if rng.random() < 0.5:
        return torch.nested.nested_tensor(parts, layout=torch.jagged)
    return torch.nested.nested_tensor(parts)


def distributed():
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor, init_device_mesh

    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    mesh = init_device_mesh("cpu", (1,))
    return distribute_tensor(torch.randn(4, 2), mesh, [rng.choice([Replicate(), Shard(0)])])


def array():
    kind = rng.choice(["f4", "f8", "f2", "i4", "u1", "c8", "?", ">f4", ">i2", "<u8"])
    made = np.asarray(np.random.rand(*shape()) * 90).astype(kind)
    return np.asfortranarray(made) if rng.random() < 0.3 else made


def scalars():
    return [np.float32(1.5), np.int64(-3), np.bool_(True), np.float64(2) ** 70, np.array(["a", None], dtype=object), np.array([(1, 2.0)], dtype="i4,f8")]


def plain():
    return rng.choice(
        [
            None, True, -1, 2**31, -(2**63), 2**100, 0.1, float("nan"), "é\u4e00\U0001f600", b"\x00\xff", bytearray(b"ab"), 1 - 2j, (), (1, (2, "x")),
            {1, 2}, frozenset([3]), [1, [2, []]], {"a": {1: "int", (1, 2): "tuple"}}, collections.Counter("abca"),
            collections.defaultdict(list, {"k": [1]}), collections.deque([1, 2]), torch.Size([2, 3]), torch.float32, torch.device("cpu"), ..., "\ud800",
        ]
    )


VALUES = [
    *[(f"dtype {name}", lambda name=name: of_dtype(name)) for name in DTYPES],
    *[(f"strided {name}", lambda name=name: of_dtype(name, [3, 4]).t()) for name in DTYPES],
    ("transposed", lambda: dense().transpose(0, 2)),
    ("sliced", lambda: dense()[1:3, ::2]),
    ("expanded", lambda: torch.randn(3, 1).expand(3, 5)),
    ("overlapping", lambda: torch.randn(12).as_strided((4, 3), (2, 1), 1)),
    ("channels last", lambda: torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)),
    ("conj", lambda: lazy(torch.randn(3, 2, dtype=torch.complex64).conj())),
    ("conj transposed", lambda: lazy(torch.randn(3, 2, dtype=torch.complex128).t().conj())),
    ("neg", lambda: lazy(torch._neg_view(torch.randn(4)))),
    ("imag of conj", lambda: lazy(torch.randn(4, dtype=torch.complex64).conj().imag)),
    ("parameter", lambda: nn.Parameter(torch.randn(3), requires_grad=rng.random() < 0.5)),
    ("parameter with state", lambda: with_attribute(nn.Parameter(torch.randn(3)))),
    ("tensor with attribute", lambda: with_attribute(torch.randn(3))),
    ("buffer", lambda: nn.Buffer(torch.randn(3))),
    ("quantised", quantised),
    ("quantised per channel", quantised_channels),
    ("sparse", sparse),
    ("nested", nested),
    ("meta", lambda: torch.empty(3, 4, device="meta")),
    ("DTensor", distributed),
    ("array", array),
    ("scalars", scalars),
    ("storage", lambda: torch.randn(3).storage() if not hasattr(torch.randn(1), "untyped_storage") else torch.randn(3).untyped_storage()),
    *[("plain", plain)] * 8,
]


def optimizer_state():
    model = nn.Linear(3, 2)
    optimizer = rng.choice([torch.optim.Adam, torch.optim.SGD])(model.parameters(), lr=0.1)
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def random_object():
    state = collections.OrderedDict()
    for index in range(rng.randrange(3, 14)):
        what, make = rng.choice(VALUES)
        value = attempt(what, make)
        if what in missing and value is None:
            continue
        state[f"{rng.choice(['layer', 'head', 'é', 'a.b', '__proto__'])}.{index}"] = value
    base = torch.randn(10)
    state["shared.whole"], state["shared.part"] = base, base[2:7]
    if rng.random() < 0.4:
        state["optimizer"] = optimizer_state()
    if rng.random() < 0.3:
        state["nested"] = {"list": [torch.randn(2), {"deep": of_dtype("int64")}]}
    return state


# ---------------------------------------------------------------- ways to write
def rezipped(source, target, compression, shuffle):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        names = old.namelist()
        if shuffle:
            rng.shuffle(names)
        for name in names:
            new.writestr(zipfile.ZipInfo(name), old.read(name), compression)
    os.remove(source)


def save(value, path):
    """torch.save in one of its ways; the way's name."""
    way = rng.choice(["default", "protocol", "legacy", "deflate", "shuffled", "junk", "no checksums", "aligned", "buffer"])
    if way == "protocol":
        protocol = rng.choice([3, 4, 5])
        torch.save(value, path, pickle_protocol=protocol)
        return f"protocol {protocol}"
    if way == "legacy":
        torch.save(value, path, _use_new_zipfile_serialization=False)
    elif way in ("deflate", "shuffled"):
        torch.save(value, f"{path}.tmp")
        rezipped(f"{path}.tmp", path, zipfile.ZIP_DEFLATED if way == "deflate" else zipfile.ZIP_STORED, way == "shuffled")
    elif way == "junk":
        torch.save(value, path)
        with open(path, "ab") as file:
            file.write(b"junk")
    elif way == "no checksums" and hasattr(torch.serialization, "set_crc32_options"):
        torch.serialization.set_crc32_options(False)
        torch.save(value, path)
        torch.serialization.set_crc32_options(True)
    elif way == "aligned" and hasattr(torch.utils, "serialization"):
        with torch.utils.serialization.config.patch({"save.storage_alignment": 4096}):
            torch.save(value, path)
    elif way == "buffer":
        buffer = io.BytesIO()
        torch.save(value, buffer)
        with open(path, "wb") as file:
            file.write(buffer.getvalue())
    else:
        way = "default"
        torch.save(value, path)
    return way


def saved_state(folder, index):
    for _ in range(20):
        value, name = random_object(), f"state_{index}.pt"
        try:
            way = save(value, os.path.join(folder, name))
        except Exception as error:
            # Some values and ways do not go together (conj in the old stream, surrogates below protocol 2): other ones are tried.
            missing.setdefault(f"saving: {type(error).__name__}", str(error)[:120])
            continue
        return content_of(value).described(name, how=way)
    raise SystemExit("nothing could be saved")


def saved_module(folder, index):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)))
    model[2].register_buffer("scratch", torch.randn(2), persistent=False)
    model[2][1].weight = model[2][0].bias
    name = f"module_{index}.pt"
    how = save({"model": model, "epoch": 3} if rng.random() < 0.5 else model, os.path.join(folder, name))
    loaded = torch.load(os.path.join(folder, name), **({"weights_only": False} if torch.__version__[0] != "1" else {}))
    return content_of(loaded).described(name, how=how)


class Scripted(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 2)
        self.register_buffer("scale", torch.randn(2))
        self.register_buffer("scratch", torch.randn(2), persistent=False)

    def forward(self, x):
        return self.inner(x) * self.scale + self.scratch


def saved_script(folder, index):
    model = Scripted()
    made = torch.jit.script(model) if index % 2 == 0 else torch.jit.trace(model, torch.randn(1, 3))
    name = f"script_{index}.pt"
    torch.jit.save(made, os.path.join(folder, name))
    # TorchScript keeps no mark of buffers that are not persistent.
    return content_of(collections.OrderedDict(made.state_dict())).described(name, how="TorchScript")


def pickled(folder, index):
    value = {f"w{at}": rng.choice([lambda: torch.randn(3, 2), array, lambda: of_dtype("int64"), lambda: np.float32(2)])() for at in range(5)}
    name = f"plain_{index}.pkl"
    protocol = index % 6
    with open(os.path.join(folder, name), "wb") as file:
        pickle.dump({"model": value, "__author__": "x"}, file, protocol=protocol)
    return content_of({"model": value}).described(name, how=f"pickle {protocol}")


def arrays(folder, index):
    value = {f"a{at}": array() for at in range(4)}
    name = f"arrays_{index}.npz"
    (np.savez_compressed if index % 2 else np.savez)(os.path.join(folder, name), **value)
    return content_of(value).described(name, how="npz")


def one_array(folder, index):
    value, name = array(), f"array_{index}.npy"
    np.save(os.path.join(folder, name), value)
    return content_of(value).described(name, how="npy")


SAFE = [name for name in DTYPES if not name.startswith(("bits", "complex")) and name not in ("float4_e2m1fn_x2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu")]


def safetensors_file(folder, index):
    from safetensors.torch import save_file, save_model

    name = f"safe_{index}.safetensors"
    path = os.path.join(folder, name)
    if index % 3 == 2:
        model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        model[1].weight = model[0].weight
        save_model(model, path)
        return content_of(collections.OrderedDict(model.state_dict())).described(name, how="save_model", order=False)
    value = {f"t.{at}": attempt(each, lambda each=each: of_dtype(each).contiguous()) for at, each in enumerate(rng.sample(SAFE, 6))}
    value = {key: tensor for key, tensor in value.items() if tensor is not None}
    save_file(value, path, metadata={"format": "pt"} if index % 2 else None)
    return content_of(value).described(name, how="save_file", order=False)


def distributed_checkpoint(folder, index):
    import torch.distributed.checkpoint as dcp

    value = {"w": torch.randn(5, 4), "b": of_dtype("int64", [3]), "half": torch.randn(4).bfloat16(), "opt": {"state": {"m": torch.randn(2, 3)}, "lr": 0.1}}
    name = f"dcp_{index}"
    if hasattr(dcp, "save"):
        dcp.save(value, checkpoint_id=os.path.join(folder, name), no_dist=True)
    else:
        # Before torch 2 nested dicts were not flattened.
        value = {key: tensor for key, tensor in value.items() if isinstance(tensor, torch.Tensor)}
        dcp.save_state_dict(value, dcp.FileSystemWriter(os.path.join(folder, name)), no_dist=True)
    return content_of(value).described(name, how="torch.distributed.checkpoint", order=False)


def two_ranks(rank, folder, name, seed):
    import torch.distributed as dist
    import torch.distributed.checkpoint as dcp
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor, init_device_mesh

    dist.init_process_group("gloo", init_method=f"file://{folder}/{name}.store", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    torch.manual_seed(seed)
    parts = {"rows": (torch.randn(5, 4), Shard(0)), "columns": (torch.randn(3, 7), Shard(1)), "all": (torch.randn(3), Replicate())}
    value = {key: distribute_tensor(tensor, mesh, [place]) for key, (tensor, place) in parts.items()}
    dcp.save(value, checkpoint_id=os.path.join(folder, name))
    if rank == 0:
        content = content_of({key: tensor for key, (tensor, _) in parts.items()})
        with open(os.path.join(folder, f"{name}.json"), "w") as file:
            json.dump(content.described(name, how="torch.distributed.checkpoint, two ranks", order=False), file)
    dist.barrier()
    dist.destroy_process_group()


def sharded_checkpoint(folder, index):
    import torch.multiprocessing as multiprocessing

    from torch.distributed.tensor import Shard  # noqa: F401  (says early that this torch has none)

    name = f"dcp_sharded_{index}"
    multiprocessing.spawn(two_ranks, (folder, name, rng.randrange(10**6)), nprocs=2)
    with open(os.path.join(folder, f"{name}.json")) as file:
        return json.load(file)


def main():
    folder, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rng.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    rows = [saved_state(folder, index) for index in range(count)]
    few = max(count // 20, 2)
    kinds = [(saved_module, few), (saved_script, few), (pickled, 6), (arrays, few), (one_array, few), (safetensors_file, 3), (distributed_checkpoint, 1), (sharded_checkpoint, 1)]
    for make, times in kinds:
        for index in range(times):
            row = attempt(make.__name__, lambda: make(folder, index))
            if row is not None:
                rows.append(row)
    with open(os.path.join(folder, "expected.json"), "w") as file:
        json.dump({"torch": torch.__version__, "missing": missing, "rows": rows}, file)


if __name__ == "__main__":
    main()
