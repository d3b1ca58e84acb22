"""Makes test/fixtures-adapters: small models as PyTorch saves and computes them, for the tests of the adapters.

Run with PyTorch 1.13: python3 make_adapter_models.py ../fixtures-adapters. Each model leaves NAME.pt (its state dict), NAME.onnx (its graph, the
weights being inputs under their names in the state dict; only where another runtime is to run it) and a row in expected.json: inputs and the
outputs that torch computed. Nothing runs this at build or test time.
"""
import json
import os
import sys
from collections import OrderedDict

import torch
from torch import nn

torch.manual_seed(8)
torch.set_num_threads(1)


def mlp():
    return nn.Sequential(
        OrderedDict(fc1=nn.Linear(6, 16), act1=nn.Tanh(), norm=nn.LayerNorm(16), fc2=nn.Linear(16, 16), act2=nn.ReLU(), head=nn.Linear(16, 3))
    )


def cnn():
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(2, 6, 3, padding=1),
            norm1=nn.BatchNorm2d(6),
            act1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            depth=nn.Conv2d(6, 12, 3, padding=1, groups=6),
            point=nn.Conv2d(12, 5, 1, bias=False),
            norm2=nn.BatchNorm2d(5),
            act2=nn.ReLU(),
            pool2=nn.AvgPool2d(2),
            flat=nn.Flatten(),
            fc=nn.Linear(5 * 3 * 2, 7),
            act3=nn.ReLU(),
            head=nn.Linear(7, 4),
        )
    )


def others():
    """One layer after the other, each fed with its own input."""
    return OrderedDict(
        conv1d=(nn.Conv1d(3, 4, 3), torch.randn(2, 3, 9)),
        conv3d=(nn.Conv3d(2, 3, 2), torch.randn(2, 2, 4, 5, 3)),
        transposed=(nn.ConvTranspose2d(3, 2, 3, stride=2), torch.randn(2, 3, 4, 5)),
        embedding=(nn.Embedding(11, 4), torch.tensor([[1, 2, 10], [0, 5, 5]])),
        norm=(nn.LayerNorm(6), torch.randn(3, 6)),
        prelu=(nn.PReLU(5), torch.randn(3, 5)),
    )


def settle(model, shape):
    """Running statistics, affine parameters and counters that are not their defaults."""
    model.train()
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.LayerNorm)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    for _ in range(3):
        model(torch.randn(*shape) * 2 + 0.3)
    return model.eval()


def numbers(tensor):
    return {"shape": list(tensor.shape), "data": tensor.flatten().tolist()}


folder = sys.argv[1]
expected = {}
for name, make, shape in (("mlp", mlp, (5, 6)), ("cnn", cnn, (3, 2, 12, 8))):
    model = settle(make(), shape)
    inputs = torch.randn(*shape)
    with torch.no_grad():
        outputs = model(inputs)
    state = model.state_dict()
    # As a data-parallel training job leaves it.
    torch.save({"state_dict": OrderedDict((f"module.{key}", value) for key, value in state.items())}, os.path.join(folder, f"{name}.pt"))
    torch.onnx.export(
        model,
        inputs,
        os.path.join(folder, f"{name}.onnx"),
        export_params=False,
        do_constant_folding=False,
        training=torch.onnx.TrainingMode.PRESERVE,
        opset_version=13,
        input_names=["x"],
        output_names=["y"],
        dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
    )
    expected[name] = {"inputs": numbers(inputs), "outputs": numbers(outputs)}

layers = others()
with torch.no_grad():
    for name, (layer, inputs) in layers.items():
        nn.init.uniform_(layer.weight, -1, 1)
        expected[name] = {"inputs": numbers(inputs), "outputs": numbers(layer.eval()(inputs))}
torch.save(
    OrderedDict((f"{name}.{key}", value) for name, (layer, _) in layers.items() for key, value in layer.state_dict().items()),
    os.path.join(folder, "layers.pt"),
)
with open(os.path.join(folder, "expected.json"), "w") as file:
    json.dump(expected, file)
    file.write("\n")
