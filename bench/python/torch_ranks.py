"""What users of PyTorch do today, measured: one checkpoint into a model on every rank of a node.

  python3 torch_ranks.py features                 prints what this Python can do, as one JSON line
  python3 torch_ranks.py run MODE RANKS MODEL     prints one JSON line; MODEL is JSON {"pt", "safetensors", "tensors": [[name, shape], ...]}

each              every rank torch.load + re.sub on the keys + load_state_dict (vis4d's way)
broadcast         rank 0 does that, then gloo broadcasts every parameter
mmap              every rank torch.load(mmap=True) + load_state_dict(assign=True). torch older than 2.1 has neither: the same steps by hand
                  (one private mapping of the file, storages as slices of it at their records' offsets, parameters replaced)
safetensors       every rank safetensors.torch.load_file, which maps the file, and parameters replaced
safetensors-copy  the same, and load_state_dict, which copies

Seconds run from "all ranks ready, models built" (the first rank leaves the barrier) to "all ranks loaded" (the last one leaves the last barrier), by
one clock for all processes. After loading, and before the clock stops, every
rank reads one element of each 4 KiB page of its model: mapping without touching is not loading. Memory is the sum over ranks of the growth
of their proportional set size since before the model was built.
"""
import json
import multiprocessing
import os
import pickle
import re
import resource
import socket
import struct
import sys
import time
import zipfile
from collections import OrderedDict

PAGE_ELEMENTS = 1024  # of float32
LOCAL_HEADER_BYTES = 30  # of a zip record, before name and extra field


def proportional_bytes():
    with open("/proc/self/smaps_rollup") as rollup:
        return int(re.search(r"^Pss:\s+(\d+)", rollup.read(), re.M).group(1)) * 1024


def torch_maps(torch):
    """Whether torch.load can map: mmap=True came with 2.1, together with assign=True."""
    return tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 1)


def features():
    found = {"torch": None, "mmap": None, "safetensors": None, "gloo": False}
    try:
        import torch
        import torch.distributed
        found["torch"] = torch.__version__
        found["mmap"] = "torch" if torch_maps(torch) else "by hand"
        found["gloo"] = torch.distributed.is_available()
        import safetensors.torch
        found["safetensors"] = safetensors.__version__
    except ImportError:
        pass
    return found


def build_model(torch, tensors, meta):
    """A model with these parameters, in memory that was touched (as initialisation does) or without memory."""
    root = torch.nn.Module()
    for name, shape in tensors:
        *path, leaf = re.sub(r"^module\.", "", name).split(".")
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, torch.nn.Module())
            module = module._modules[part]
        value = torch.empty(shape, device="meta") if meta else torch.zeros(shape)
        module.register_parameter(leaf, torch.nn.Parameter(value))
    return root


def map_by_hand(torch, path):
    """torch.load(path, mmap=True) for torch < 2.1: what 2.1 does, with the parts that older versions have."""
    whole = torch.UntypedStorage.from_file(path, False, os.path.getsize(path))
    archive = zipfile.ZipFile(path)
    records = {name.split("/", 1)[1]: archive.getinfo(name).header_offset for name in archive.namelist()}
    with open(path, "rb") as file:
        def begin_of(record):
            file.seek(records[record] + 26)
            name_bytes, extra_bytes = struct.unpack("<HH", file.read(4))
            return records[record] + LOCAL_HEADER_BYTES + name_bytes + extra_bytes

        class Unpickler(pickle.Unpickler):
            def persistent_load(self, saved):
                _, storage_type, key, _, count = saved
                begin = begin_of(f"data/{key}")
                nbytes = count * torch.empty(0, dtype=storage_type.dtype).element_size()
                return torch.storage.TypedStorage(wrap_storage=whole[begin:begin + nbytes], dtype=storage_type.dtype)

        with archive.open(next(name for name in archive.namelist() if name.endswith("/data.pkl"))) as pickled:
            return Unpickler(pickled).load()


def without_prefix(state):
    return OrderedDict((re.sub(r"^module\.", "", key), value) for key, value in state.items())


def assign(torch, model, state):
    """load_state_dict(state, strict=True, assign=True), which torch < 2.1 does not have."""
    if torch_maps(torch):
        model.load_state_dict(state, strict=True, assign=True)
        return
    assert set(state) == set(dict(model.named_parameters())), "keys differ"
    for key, value in state.items():
        path, _, leaf = key.rpartition(".")
        setattr(model.get_submodule(path), leaf, torch.nn.Parameter(value))


def load(torch, distributed, mode, files, rank, model):
    if mode == "each" or (mode == "broadcast" and rank == 0):
        model.load_state_dict(without_prefix(torch.load(files["pt"], map_location="cpu")), strict=True)
    if mode == "broadcast":
        for parameter in model.parameters():
            distributed.broadcast(parameter.data, 0)
    if mode == "mmap":
        mapped = torch.load(files["pt"], map_location="cpu", mmap=True, weights_only=True) if torch_maps(torch) else map_by_hand(torch, files["pt"])
        assign(torch, model, without_prefix(mapped))
    if mode.startswith("safetensors"):
        from safetensors.torch import load_file
        state = without_prefix(load_file(files["safetensors"]))
        if mode == "safetensors":
            assign(torch, model, state)
        else:
            model.load_state_dict(state, strict=True)


def rank_main(mode, files, rank, world, port, queue):
    import torch
    import torch.distributed as distributed
    if mode.startswith("safetensors"):
        import safetensors.torch  # noqa: F401 (importing is not loading)
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    distributed.init_process_group("gloo", rank=rank, world_size=world)
    before = proportional_bytes()
    model = build_model(torch, files["tensors"], meta=mode in ("mmap", "safetensors"))
    distributed.barrier()
    start = time.clock_gettime(time.CLOCK_MONOTONIC)
    load(torch, distributed, mode, files, rank, model)
    touched = sum(float(parameter.data.flatten()[::PAGE_ELEMENTS].sum(dtype=torch.float64)) for parameter in model.parameters())
    distributed.barrier()
    end = time.clock_gettime(time.CLOCK_MONOTONIC)
    used = proportional_bytes() - before
    distributed.barrier()
    queue.put((start, end, used, touched, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
    distributed.destroy_process_group()


def run(mode, world, files):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    ranks = [context.Process(target=rank_main, args=(mode, files, rank, world, port, queue)) for rank in range(world)]
    for rank in ranks:
        rank.start()
    results = []
    while len(results) < world:
        try:
            results.append(queue.get(timeout=1))
        except Exception:
            if any(rank.exitcode for rank in ranks):
                for rank in ranks:
                    rank.terminate()
                sys.exit(f"a rank of {mode} ended with {[rank.exitcode for rank in ranks]}")
    for rank in ranks:
        rank.join()
    starts, ends, used, touched, peaks = zip(*results)
    return {"ms": (max(ends) - min(starts)) * 1000, "pssBytes": sum(used), "peakRssBytes": max(peaks), "touched": sorted(set(touched))}


if __name__ == "__main__":
    if sys.argv[1] == "features":
        print(json.dumps(features()))
    else:
        print(json.dumps(run(sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4]))))
