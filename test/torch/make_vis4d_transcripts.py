"""Records what vis4d's load_state_dict does with random module trees and state dicts, tied parameters and wrapped modules among them.

    python3 make_vis4d_transcripts.py CKPT_PY OUT.jsonl [CASES [SEED]]

CKPT_PY is vis4d's vis4d/common/ckpt.py or mmengine's mmengine/runner/checkpoint.py: their function is taken out of the file and run as it is.
What it needs of its package is small: who is a wrapper (by type, mmengine's rule; vis4d's own also takes the parent of a wrapper for one),
which rank this is (0), and where warnings go. Cases on whose unexpected keys torch 1 and torch 2 disagree are avoided.
test/src/core/module/vis4d-transcripts.test.ts replays the recording. mmengine runs post hooks and vis4d does not, so there are none.
"""

import ast
import json
import logging
import random
import sys
from collections import OrderedDict

import torch
from torch import nn
from torch.nn.modules.module import _IncompatibleKeys

from make_transcripts import Plan, build, choose_entries, make_state_dict, plain, stateful_keys


def load_function(path, warn):
    """vis4d's own load_state_dict."""
    with open(path, encoding="utf-8") as source:
        tree = ast.parse(source.read())
    functions = [each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name == "load_state_dict"]
    module = ast.Module(body=[ast.parse("from __future__ import annotations").body[0], *functions], type_ignores=[])
    is_wrapper = lambda each: isinstance(each, nn.DataParallel)
    names = {
        "logging": logging,
        "nn": nn,
        "torch": torch,
        "OrderedDict": OrderedDict,
        "is_module_wrapper": is_wrapper,
        "is_model_wrapper": is_wrapper,
        "BaseTTAModel": type("BaseTTAModel", (), {}),
        "_IncompatibleKeys": _IncompatibleKeys,
        "get_rank": lambda: 0,
        "get_dist_info": lambda: (0, 1),
        "rank_zero_warn": warn,
        "print_log": lambda text, **_: warn(text),
    }
    exec(compile(module, path, "exec"), names)
    return names["load_state_dict"]


def is_plain(key, model):
    """Whether torch 1 and 2 agree on what an unknown key is: it leaves the tree at a name that nobody has."""
    module = model
    parts = key.split(".")
    for at, part in enumerate(parts):
        last = at == len(parts) - 1
        if part in module._modules:
            if last or module._modules[part] is None:
                return False
            module = module._modules[part]
        else:
            return last or not (part in module._parameters or part in module._buffers)
    return False


def make_entries(plan, keys, model, tied_names):
    """As for torch, without what torch 1 reports otherwise; names of one tied parameter get one value, or only one of them is there."""
    entries = [each for each in choose_entries(plan, keys) if each[0] in keys or is_plain(each[0], model)]
    entries = [each for each in entries if each[1] != "state" or each[0] in keys]
    seen = {}
    result = []
    for entry in entries:
        number = tied_names.get(entry[0])
        if number is not None and entry[1] == "tensor":
            if number in seen:
                if plan.rng.random() < 0.4:
                    continue
                entry = [entry[0], "tensor", seen[number]]
            seen[number] = entry[2]
        elif number is not None:
            continue
        result.append(entry)
    return result


def names_of_tied(spec, shared, prefix=""):
    """Key to number, for every tied parameter of a specification."""
    if spec is None:
        return {}
    if "shared" in spec:
        return names_of_tied(shared[spec["shared"]], shared, prefix)
    found = {prefix + name: tensor[1] for _, name, tensor in spec["entries"] if tensor is not None and tensor[0] == "tied"}
    for name, child in spec["children"]:
        found.update(names_of_tied(child, shared, f"{prefix}{name}."))
    return found


def drop_post_hooks(spec):
    if spec is None or "shared" in spec:
        return
    spec["hooks"] = [hook for hook in spec["hooks"] if hook[0] != "forgive"]
    for _, child in spec["children"]:
        drop_post_hooks(child)


def record(case, path, strict):
    warnings = []
    load = load_function(path, warnings.append)
    made = {}
    model = build(case["module"], case["shared"], made, False, case["tied"])
    error = None
    try:
        load(model, make_state_dict(case["entries"], case["metadata"]), strict)
    except RuntimeError as failure:
        error = str(failure)
    result = {"mode": "strict" if strict else "lenient", "error": error, "warning": warnings[0] if warnings else ""}
    if not strict:
        result["after"] = {
            key.replace("module.", ""): ["state", tensor] if key.endswith("_extra_state") else plain(tensor)
            for key, tensor in model.state_dict(keep_vars=True).items()
            if key.endswith("_extra_state") or not nn.parameter.is_lazy(tensor)
        }
    return result


def make_case(seed, path):
    rng = random.Random(seed)
    plan = Plan(rng, False, tied=True, wrapped=True)
    spec = plan.module(0)
    for each in [spec, *plan.shared]:
        drop_post_hooks(each)
    case = {"seed": seed, "module": spec, "shared": plan.shared, "tied": plan.tied, "meta": False}
    bare = build(spec, plan.shared, {}, False, plan.tied, wrap=False)
    case["entries"] = make_entries(plan, stateful_keys(bare), bare, names_of_tied(spec, plan.shared))
    versions = list(bare.state_dict()._metadata.items())
    case["metadata"] = None if rng.random() < 0.3 else [[path_, known["version"]] for path_, known in versions]
    case["results"] = [record(case, path, strict) for strict in (True, False)]
    return case


def main():
    path, out = sys.argv[1], sys.argv[2]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 200
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    with open(out, "w", encoding="utf-8") as lines:
        lines.write(json.dumps({"torch": torch.__version__, "cases": count, "seed": seed}) + "\n")
        number = 0
        kept = 0
        while kept < count:
            number += 1
            try:
                case = make_case(seed * 1_000_003 + number, path)
            except IndexError:  # torch 1: the first element of an empty vector for a scalar
                continue
            lines.write(json.dumps(case, separators=(",", ":")) + "\n")
            kept += 1


if __name__ == "__main__":
    main()
