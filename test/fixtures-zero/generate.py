"""Makes small DeepSpeed checkpoints without DeepSpeed, and expected.json with what is in them.

Run with Debian's python3-torch (1.13): /usr/bin/python3 generate.py DIRECTORY
Everything comes from a seed; keep the files and do not make them anew in a test run.

How DeepSpeed cuts the 32-bit master weights, which is what these files imitate (runtime/zero/stage_1_and_2.py, stage3.py):

stages 1 and 2, for each parameter group:
    vector = parameters flattened one behind the other, then zeros up to a multiple of 2 * ranks
    rank r keeps elements [r * len / ranks, (r + 1) * len / ranks) as single_partition_of_fp32_groups[group]
    with "lean" the zeros are taken off again from the last ranks (_get_groups_without_padding)
stage 3, for each sub-group of parameters:
    part = ceil(numel / ranks); rank r keeps elements [r * part, (r + 1) * part) of each parameter, zeros behind its end
    rank r's vector fp32_flat_groups[sub-group] = its parts of the sub-group's parameters one behind the other

The expected state dict is the parameters before they were cut: no reader's arithmetic is used for it. DeepSpeed's own zero_to_fp32.py gives
the same values from these files, except that it turns the integer buffer into float32.
"""
import collections
import hashlib
import json
import math
import os
import sys

import torch

LATEST = "latest"


def parameter(shape, dtype=torch.float32):
    return torch.randn(shape).to(dtype)


class LossScaler:
    """Stands for deepspeed.runtime.fp16.loss_scaler.LossScaler, which every real optimizer state holds."""

    def __init__(self):
        self.cur_scale = 1.0


LossScaler.__module__ = "deepspeed.runtime.fp16.loss_scaler"
LossScaler.__qualname__ = "LossScaler"


def fake_module():
    """Lets pickle find the stand-in under its foreign name."""
    import types

    names = ["deepspeed", "deepspeed.runtime", "deepspeed.runtime.fp16", "deepspeed.runtime.fp16.loss_scaler"]
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    sys.modules[names[-1]].LossScaler = LossScaler


def model_state(groups, frozen, fragments, buffers, shared, module, version="0.14.4"):
    return {
        "module": module,
        "buffer_names": list(buffers),
        "optimizer": None,
        "param_shapes": [collections.OrderedDict((name, value.shape) for name, value in group.items()) for group in groups],
        "frozen_param_shapes": collections.OrderedDict((name, value.shape) for name, value in frozen.items()) if frozen else None,
        "shared_params": shared,
        "frozen_param_fragments": fragments,
        "lr_scheduler": None,
        "skipped_steps": 0,
        "global_steps": 5,
        "dp_world_size": 2,
        "mp_world_size": 1,
        "ds_config": {"zero_optimization": {"stage": 2}},
        "ds_version": version,
    }


def optimizer_state(stage, ranks, key, groups):
    state = {
        "loss_scaler": LossScaler(),
        "dynamic_loss_scale": False,
        "overflow": False,
        "zero_stage": stage,
        "partition_count": [ranks] * len(groups) if stage == 2 else ranks,
        "ds_version": "0.14.4",
        key: groups,
        "base_optimizer_state": {"state": {0: {"step": 5, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
    }
    return {"optimizer_state_dict": state, "ds_config": {}, "ds_version": "0.14.4"}


def save(value, *path):
    target = os.path.join(*path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    torch.save(value, target)


def write_latest(directory, tag):
    with open(os.path.join(directory, LATEST), "w") as file:
        file.write(tag)


def stage_1_or_2(directory, stage, ranks, groups, frozen, buffers, shared, lean):
    tag = "global_step5"
    module = collections.OrderedDict((name, value.half()) for group in groups for name, value in group.items())
    module.update((name, value) for name, value in {**frozen, **buffers}.items())
    save(model_state(groups, frozen, frozen or None, buffers, shared, module), directory, tag, "mp_rank_00_model_states.pt")
    parts = [[] for _ in range(ranks)]
    for group in groups:
        flat = torch.cat([value.reshape(-1) for value in group.values()])
        real = flat.numel()
        padded = math.ceil(real / (2 * ranks)) * 2 * ranks
        flat = torch.cat([flat, torch.zeros(padded - real)])
        size = padded // ranks
        for rank in range(ranks):
            end = min((rank + 1) * size, real) if lean else (rank + 1) * size
            parts[rank].append(flat[rank * size : max(end, rank * size)].clone())
    for rank in range(ranks):
        state = optimizer_state(stage, ranks, "single_partition_of_fp32_groups", parts[rank])
        save(state, directory, tag, f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
    write_latest(directory, tag)


def partition(value, ranks, rank):
    part = math.ceil(value.numel() / ranks)
    flat = value.reshape(-1)
    return torch.cat([flat, torch.zeros(part * ranks - value.numel(), dtype=value.dtype)])[rank * part : (rank + 1) * part].clone()


def stage_3(directory, ranks, groups, sub_groups, frozen, buffers, shared):
    tag = "global_step5"
    for rank in range(ranks):
        fragments = {name: partition(value, ranks, rank) for name, value in frozen.items()}
        state = model_state(groups, frozen, fragments or None, buffers, shared, collections.OrderedDict(buffers))
        save(state, directory, tag, f"zero_pp_rank_{rank}_mp_rank_00_model_states.pt")
        vectors = [torch.cat([partition(value, ranks, rank) for value in group]) for group in sub_groups]
        save(optimizer_state(3, ranks, "fp32_flat_groups", vectors), directory, tag, f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
    write_latest(directory, tag)


def whole(directory, parameters):
    tag = "step_1"
    save({"module": parameters, "ds_version": "0.14.4", "optimizer": None}, directory, tag, "mp_rank_00_model_states.pt")
    write_latest(directory, tag)


def digest(value):
    raw = value.contiguous().reshape(-1).numpy().tobytes()
    return hashlib.sha256(raw).hexdigest()


def describe(tensors):
    return [
        {"name": name, "dtype": str(value.dtype)[len("torch.") :], "shape": list(value.shape), "sha256": digest(value)}
        for name, value in tensors.items()
    ]


def main():
    fake_module()
    torch.manual_seed(7)
    out = sys.argv[1]
    expected = {}

    first = {"embed.weight": parameter((5, 3)), "layers.0.weight": parameter((4, 3)), "layers.0.scale": parameter(())}
    second = {"layers.0.bias": parameter(4), "norm.weight": parameter(3)}
    frozen = {"frozen.weight": parameter((3, 2), torch.float16)}
    buffers = {"norm.running_mean": parameter(3), "norm.num_batches_tracked": torch.tensor(5)}
    shared = {"head.weight": "embed.weight"}
    full = {**buffers, **frozen, **first, **second, "head.weight": first["embed.weight"]}

    stage_1_or_2(os.path.join(out, "zero2"), 2, 2, [first, second], frozen, buffers, shared, lean=False)
    expected["zero2"] = describe(full)
    stage_1_or_2(os.path.join(out, "zero1_lean"), 1, 3, [first, second], {}, buffers, shared, lean=True)
    expected["zero1_lean"] = describe({name: value for name, value in full.items() if name not in frozen})
    everything = [*first.values(), *second.values()]
    stage_3(os.path.join(out, "zero3"), 2, [{**first, **second}], [everything[:2], everything[2:]], frozen, buffers, shared)
    expected["zero3"] = describe(full)
    whole(os.path.join(out, "zero0"), collections.OrderedDict(first))
    expected["zero0"] = describe(first)

    with open(os.path.join(out, "expected.json"), "w") as file:
        json.dump(expected, file, indent=1)
        file.write("\n")


main()
