"""Makes policy.pt: an untrained actor-critic for CartPole as DistributedDataParallel saves it ("module." prefix).

Run with PyTorch 1.6 or newer: python3 make_policy.py. The file is kept in the repository; nothing runs this at build or test time.
"""
from collections import OrderedDict

import torch
from torch import nn


def network(outputs, gain):
    layers = OrderedDict(fc1=nn.Linear(4, 64), tanh1=nn.Tanh(), fc2=nn.Linear(64, 64), tanh2=nn.Tanh(), head=nn.Linear(64, outputs))
    for name, layer in layers.items():
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight, gain if name == "head" else 2**0.5)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(layers)


torch.manual_seed(4)
model = nn.ModuleDict(dict(policy=network(2, 0.01), value=network(1, 1.0)))
torch.save({"state_dict": OrderedDict((f"module.{key}", value) for key, value in model.state_dict().items())}, "policy.pt")
