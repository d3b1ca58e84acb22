"""Records what torch's load_state_dict does with random module trees and state dicts.

    python3 make_transcripts.py OUT.jsonl [CASES [SEED]]

One JSON document per line: a module tree, a state dict, and for each way of loading the error text, the missing and unexpected keys,
and the values afterwards. test/src/core/module/torch-transcripts.test.ts replays them against loadStateDict. Needs torch 1.13 or newer;
`assign` is recorded from 2.1 on, and torch 1 lists fewer keys as unexpected (it looks at their first component only). Values are small enough that every element type used here holds them or rounds them in one step.
"""

import json
import random
import sys
import warnings

import torch
from torch import nn

warnings.simplefilter("ignore")
VERSION = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
DTYPES = ["float32"] * 6 + ["float64", "float16", "bfloat16", "int64", "int32", "bool", "complex64"]
NAMES = ["a", "b", "c", "weight", "bias", "0", "1", "conv", "conv_2"]
SHAPES = [[], [1], [2], [3], [2, 2], [1, 2], [3, 1], [0], [2, 1, 2]]


def values(base, shape, dtype):
    """The tensor that stands for `base`: the replaying side makes the same one."""
    count = 1
    for size in shape:
        count *= size
    numbers = [base % 120 + at + (0.5 if base % 2 else 0) for at in range(count)]
    kind = getattr(torch, dtype)
    if dtype == "bool":
        flat = torch.tensor([(base + at) % 2 == 1 for at in range(count)], dtype=kind)
    elif dtype == "complex64":
        flat = torch.tensor([complex(number, number + 0.25) for number in numbers], dtype=kind)
    else:
        flat = torch.tensor(numbers, dtype=torch.float64).to(kind)
    return flat.reshape(shape)


def plain(tensor):
    """Element type, shape and flat values as JSON."""
    flat = tensor.detach().reshape(-1).tolist()
    numbers = [[each.real, each.imag] if isinstance(each, complex) else float(each) for each in flat]
    return [str(tensor.dtype).replace("torch.", ""), list(tensor.shape), numbers]


class Extra(nn.Module):
    """A module that takes extra state."""

    def __init__(self):
        super().__init__()
        self.state = "old"

    def get_extra_state(self):
        return self.state

    def set_extra_state(self, state):
        self.state = state


class Plan:
    """Random choices of one case. A module's specification is JSON; shared modules are numbered."""

    def __init__(self, rng, meta, tied=False, wrapped=False):
        self.rng = rng
        self.meta = meta
        self.may_tie = tied
        self.may_wrap = wrapped
        self.base = 10
        self.shared = []
        self.tied = []
        self.hooked = False

    def next_base(self):
        self.base += 7
        return self.base

    def tie(self):
        """The number of a parameter that several modules hold."""
        if not self.tied or self.rng.random() < 0.4:
            self.tied.append(["float32", self.rng.choice(SHAPES), self.next_base()])
        return self.rng.randrange(len(self.tied))

    def module(self, depth):
        spec = self.bare_module(depth)
        if self.may_wrap and self.rng.random() < 0.25:
            spec["wrapped"] = 1
        return spec

    def bare_module(self, depth):
        rng = self.rng
        kind = rng.choices(["Net", "BatchNorm1d", "Extra", "LazyLinear"], [8, 2 if depth else 0, 1, 0 if self.meta else 1])[0]
        spec = {"type": kind, "entries": [], "children": [], "hooks": []}
        if kind == "BatchNorm1d":
            spec["features"] = rng.choice([1, 2])
            spec["bases"] = [self.next_base() for _ in range(4)] + [rng.randrange(20)]
            spec["version"] = 2
            return spec
        if kind == "LazyLinear":
            spec["version"] = 1
            return spec
        taken = set()
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            name = rng.choice(NAMES)
            if name in taken:
                continue
            taken.add(name)
            what = rng.choices(["parameter", "buffer", "hidden"], [6, 3, 1])[0]
            absent = rng.random() < 0.1
            dtype = rng.choice(DTYPES)
            if self.may_tie and what == "parameter" and rng.random() < 0.3:
                spec["entries"].append([what, name, ["tied", self.tie()]])
                continue
            spec["entries"].append([what, name, None if absent else [dtype, rng.choice(SHAPES), self.next_base()]])
        if depth < 3:
            for _ in range(rng.choice([0, 1, 2, 2] if depth else [1, 2, 3])):
                name = rng.choice(NAMES)
                if name in taken:
                    continue
                taken.add(name)
                roll = rng.random()
                if roll < 0.1:
                    child = None
                elif roll < 0.2 and self.shared and not self.meta:
                    child = {"shared": rng.randrange(len(self.shared))}
                else:
                    child = self.module(depth + 1)
                    if rng.random() < 0.2:
                        self.shared.append(child)
                        child = {"shared": len(self.shared) - 1}
                spec["children"].append([name, child])
        if rng.random() < 0.12:
            self.hooked = True
            spec["hooks"].append(rng.choice([["rename", rng.choice(NAMES), rng.choice(NAMES)], ["drop", rng.choice(NAMES)], ["forgive", rng.choice(NAMES)]]))
        return spec


def build(spec, shared, made, meta, tied=(), wrap=True):
    """The torch module of a specification. Shared modules and tied parameters are made once."""
    if spec is None:
        return None
    if "shared" in spec:
        number = spec["shared"]
        if number not in made:
            made[number] = build(shared[number], shared, made, meta, tied, wrap)
        return made[number]
    kind = spec["type"]
    if kind == "BatchNorm1d":
        module = nn.BatchNorm1d(spec["features"])
        with torch.no_grad():
            names = ["weight", "bias", "running_mean", "running_var"]
            for name, base in zip(names, spec["bases"]):
                getattr(module, name).copy_(values(base, [spec["features"]], "float32"))
            module.num_batches_tracked.fill_(spec["bases"][4])
        module = module.to("meta") if meta else module
    elif kind == "LazyLinear":
        module = nn.LazyLinear(2)
    else:
        module = Extra() if kind == "Extra" else type("Net", (nn.Module,), {})()
        for what, name, tensor in spec["entries"]:
            if tensor is not None and tensor[0] == "tied":
                if ("tied", tensor[1]) not in made:
                    dtype, shape, base = tied[tensor[1]]
                    made["tied", tensor[1]] = nn.Parameter(values(base, shape, dtype))
                module.register_parameter(name, made["tied", tensor[1]])
                continue
            value = None if tensor is None else values(tensor[2], tensor[1], tensor[0])
            if meta and value is not None:
                value = value.to("meta")
            if what == "parameter":
                grad = value is not None and (value.is_floating_point() or value.is_complex())
                module.register_parameter(name, None if value is None else nn.Parameter(value, requires_grad=grad))
            else:
                module.register_buffer(name, value, persistent=what == "buffer")
        for name, child in spec["children"]:
            module.add_module(name, build(child, shared, made, meta, tied, wrap))
    for hook in spec["hooks"]:
        add_hook(module, hook)
    for _ in range(spec.get("wrapped", 0) if wrap else 0):
        module = nn.DataParallel(module)
    return module


def add_hook(module, hook):
    if hook[0] == "forgive":
        def forgive(_, incompatible):
            incompatible.missing_keys[:] = [key for key in incompatible.missing_keys if hook[1] not in key]
        module.register_load_state_dict_post_hook(forgive)
        return

    def edit(state_dict, prefix, *_):
        value = state_dict.pop(prefix + hook[1], None)
        if value is not None and hook[0] == "rename":
            state_dict[prefix + hook[2]] = value
    module._register_load_state_dict_pre_hook(edit)


def stateful_keys(module):
    """Keys the model has, with shape and type; lazy ones have none."""
    found = {}
    for key, tensor in module.state_dict(keep_vars=True).items():
        if key.endswith("_extra_state"):
            found[key] = "extra"
        elif nn.parameter.is_lazy(tensor):
            found[key] = ["float32", None]
        else:
            found[key] = [str(tensor.dtype).replace("torch.", ""), list(tensor.shape)]
    return found


def choose_entries(plan, keys):
    """The state dict: the model's keys, some damaged, and some keys from elsewhere."""
    rng = plan.rng
    entries = []
    quality = rng.choice([0.0, 0.05, 0.3])
    for key, known in keys.items():
        roll = rng.random()
        if known == "extra":
            if roll > quality:
                entries.append([key, "state", f"state{plan.next_base()}"])
            continue
        dtype, shape = known
        lazy = shape is None
        if lazy:
            shape = rng.choice([[2, 3], [2]])
        if roll < quality / 3:
            continue
        if roll < 2 * quality / 3:
            shape = [1] if shape == [] and rng.random() < 0.5 else rng.choice(SHAPES)
        elif roll < quality:
            dtype = rng.choice(DTYPES)
        # Values that are no tensors break the lazy hook of torch, and our hooks do not see them.
        if rng.random() < quality / 10 and not lazy and not plan.hooked:
            entries.append([key, "other", rng.choice(["list", "int", "str", "NoneType"])])
        else:
            entries.append([key, "tensor", [dtype, shape, plan.next_base(), len(shape) > 1 and rng.random() < 0.3]])
    for _ in range(rng.choice([0, 0, 1, 3])):
        key = ".".join(rng.choice(NAMES + ["", "x"]) for _ in range(rng.choice([1, 2, 3, 4])))
        if key not in keys:
            entries.append([key, "tensor", [rng.choice(DTYPES), rng.choice(SHAPES), plan.next_base(), False]])
    if rng.random() < 0.1 and not plan.hooked:
        key = ".".join(rng.choice(NAMES) for _ in range(rng.choice([0, 1, 2]))) + "._extra_state"
        if key.lstrip(".") not in keys:
            entries.append([key.lstrip("."), "state", "stray"])
    if rng.random() < 0.3:
        rng.shuffle(entries)
    # A hook that renames puts keys behind even those, so there are no strays then.
    strays = [each for each in entries if each[1] == "state"]
    # Extra state that is no tensor lies beside the tensors in the replaying side's state dict, so it comes last here.
    return [each for each in entries if each[1] != "state"] + strays


OTHERS = {"list": [1], "int": 3, "str": "text", "NoneType": None}


def make_state_dict(entries, metadata):
    from collections import OrderedDict

    state_dict = OrderedDict()
    for key, what, value in entries:
        if what == "tensor":
            dtype, shape, base, transposed = value
            tensor = values(base, shape[::-1] if transposed else shape, dtype)
            state_dict[key] = tensor.permute(*reversed(range(len(shape)))) if transposed else tensor
        else:
            state_dict[key] = value if what == "state" else OTHERS[value]
    if metadata is not None:
        state_dict._metadata = OrderedDict((path, {"version": version}) for path, version in metadata)
    return state_dict


def record(case, mode):
    """One way of loading."""
    model = build(case["module"], case["shared"], {}, case["meta"])
    seen = {}

    def capture(_, incompatible):
        seen["missing"] = list(incompatible.missing_keys)
        seen["unexpected"] = list(incompatible.unexpected_keys)
    model.register_load_state_dict_post_hook(capture)
    options = {"strict": mode == "strict"}
    if mode == "assign":
        options["assign"] = True
    error = None
    try:
        model.load_state_dict(make_state_dict(case["entries"], case["metadata"]), **options)
    except RuntimeError as failure:
        error = str(failure)
    except IndexError:
        # torch 1 takes the first element of a vector for a scalar, even when there is none.
        return None
    result = {"mode": mode, "error": error, **seen}
    if error is None and mode != "strict":
        result["after"] = {
            key: ["state", tensor] if key.endswith("_extra_state") else plain(tensor)
            for key, tensor in model.state_dict(keep_vars=True).items()
            if key.endswith("_extra_state") or not (nn.parameter.is_lazy(tensor) or tensor.is_meta)
        }
        result["grads"] = [name for name, tensor in model.named_parameters() if tensor.requires_grad]
    return result


def make_case(seed):
    rng = random.Random(seed)
    meta = VERSION >= (2, 1) and rng.random() < 0.15
    plan = Plan(rng, meta)
    spec = plan.module(0)
    case = {"seed": seed, "module": spec, "shared": plan.shared, "meta": meta}
    model = build(spec, plan.shared, {}, meta)
    keys = stateful_keys(model)
    case["entries"] = choose_entries(plan, keys)
    saved = list(model.state_dict()._metadata.items())
    choice = rng.random()
    if choice < 0.5:
        case["metadata"] = [[path, known["version"]] for path, known in saved]
    elif choice < 0.75:
        case["metadata"] = [[path, rng.choice([1, 2, 3])] for path, _ in saved if rng.random() < 0.7]
    else:
        case["metadata"] = None
    modes = (["assign"] if meta else ["strict", "lenient"] + (["assign"] if VERSION >= (2, 1) and not plan.shared else []))
    case["results"] = [result for result in (record(case, mode) for mode in modes) if result is not None]
    return case


def main():
    path = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    with open(path, "w", encoding="utf-8") as out:
        out.write(json.dumps({"torch": torch.__version__, "cases": count, "seed": seed}) + "\n")
        for number in range(count):
            out.write(json.dumps(make_case(seed * 1_000_003 + number), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
