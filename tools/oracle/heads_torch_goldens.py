"""Heads of DataComp's and LAION's H/14 form as torch runs them. Usage: heads_torch_goldens.py OUT

Needs torch 2.15.0. The weights are drawn by the generator of test/safety/heads/support.ts, so only the answers are
written. H/14's modules are as LAION-AI/CLIP-based-NSFW-Detector's h14_nsfw_model.py lists them.
"""

import json
import sys

import numpy as np
import torch
from torch import nn

DATACOMP = [768, 64, 512, 256, 1]
H14 = [1024, 1024, 2048, 1024, 256, 128, 16, 1]


def numbers(count, seed):
    """`numbers` of support.ts."""
    state, out = seed, np.empty(count, np.float64)
    for i in range(count):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = state / 2**31 - 1
    return out.astype(np.float32)


def linear(inputs, outputs, seed):
    layer = nn.Linear(inputs, outputs)
    weight = numbers(inputs * outputs, seed).astype(np.float64) * 2 / np.sqrt(inputs)
    layer.weight.data = torch.tensor(weight.astype(np.float32).reshape(outputs, inputs))
    layer.bias.data = torch.tensor(numbers(outputs, seed + 50))
    return layer


def datacomp():
    norm = nn.BatchNorm1d(768, eps=0)
    norm.running_mean = torch.tensor(numbers(768, 1) * np.float32(0.0625))
    norm.running_var = torch.tensor((numbers(768, 2) + np.float32(1.5)) * np.float32(0.03125))
    norm.weight.data = torch.tensor(numbers(768, 3))
    norm.bias.data = torch.tensor(numbers(768, 4))
    layers = [norm]
    for i, (a, b) in enumerate(zip(DATACOMP, DATACOMP[1:])):
        layers += [linear(a, b, 10 + i), nn.ReLU()]
    return nn.Sequential(*layers[:-1], nn.Sigmoid())


def h14():
    layers = []
    for i, (a, b) in enumerate(zip(H14, H14[1:])):
        layers += [linear(a, b, 10 + i), *([nn.ReLU(), nn.Dropout(0.2)] if i < 5 else [])]
    return nn.Sequential(*layers)


def main(out):
    golden = {"torch": torch.__version__.split("+")[0]}
    for name, model, dim in [("datacomp", datacomp(), 768), ("h14", h14(), 1024)]:
        rows = torch.tensor(numbers(6 * dim, 77).reshape(6, dim))
        with torch.no_grad():
            golden[name] = {"names": list(model.state_dict()), "value": model.eval()(rows)[:, 0].tolist()}
        print(name, golden[name])
    with open(f"{out}/torch.json", "w") as file:
        json.dump(golden, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
