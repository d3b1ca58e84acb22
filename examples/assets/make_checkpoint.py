"""Makes ddp-convnet.pt: the state dict of a small convolutional network as DistributedDataParallel saves it ("module." prefix).

Run with PyTorch 1.6 or newer: python3 make_checkpoint.py. The file is kept in the repository; nothing runs this at build or test time.
"""
from collections import OrderedDict

import torch

torch.manual_seed(20)
model = torch.nn.Sequential(
    OrderedDict(
        conv1=torch.nn.Conv2d(3, 16, 3, bias=False),
        norm1=torch.nn.BatchNorm2d(16),
        conv2=torch.nn.Conv2d(16, 32, 3, bias=False),
        norm2=torch.nn.BatchNorm2d(32),
        pool=torch.nn.AdaptiveAvgPool2d(4),
        flat=torch.nn.Flatten(),
        head=torch.nn.Linear(512, 64),
    )
)
state = model.state_dict()
wrapped = OrderedDict((f"module.{name}", tensor) for name, tensor in state.items())
wrapped._metadata = OrderedDict((f"module.{path}".rstrip(".") if path else "module", value) for path, value in state._metadata.items())
wrapped._metadata[""] = {"version": 1}
torch.save({"state_dict": wrapped, "epoch": 3, "arch": "convnet"}, "ddp-convnet.pt")
