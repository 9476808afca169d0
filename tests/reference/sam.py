"""Trajectories of 50 steps with sharpness-aware minimisation (Foret et al. 2021) and its adaptive form (Kwon et al. 2021)
in float64, around optimizers of torch.optim; writes sam.json beside itself. The problem is that of optimizers.py. With the
argument float32 the computation is done in that, and the largest relative difference to the file is printed.
"""
import json
import pathlib
import sys

import torch

CASES = [
    {"sam": {"rho": 0.05}, "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9}},
    {"sam": {"rho": 0.5, "adaptive": True}, "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}},
    {"sam": {"rho": 0.3}, "optimizer": {"name": "adamw", "lr": 0.05, "weight_decay": 0.1}},
    {"sam": {"rho": 1.0, "adaptive": True}, "optimizer": {"name": "adamw", "lr": 0.02}},
    {"sam": {"rho": 0.1}, "optimizer": {"name": "adam", "lr": 0.05}, "max_grad_norm": 0.4},
]
OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def backward(parameters, step):
    loss = sum((p.square() * (torch.arange(float(p.numel())).view_as(p) + 1) / 10).sum() for p in parameters)
    (loss * (1 + step % 3)).backward()


def perturbations(parameters, rho, adaptive=False):
    scale = [p.detach().abs() if adaptive else torch.ones_like(p) for p in parameters]
    norm = torch.cat([(s * p.grad).flatten() for s, p in zip(scale, parameters)]).norm()
    return [rho * s * s * p.grad / (norm + 1e-12) for s, p in zip(scale, parameters)]


def trajectory(case):
    parameters = [(torch.arange(12.0).view(4, 3) * 0.25 - 1).requires_grad_(), (torch.arange(3.0) * 0.5).requires_grad_()]
    options = {k: v for k, v in case["optimizer"].items() if k != "name"}
    optimizer = OPTIMIZERS[case["optimizer"]["name"]](parameters, **options)
    rows = []
    for step in range(50):
        optimizer.zero_grad()
        backward(parameters, step)
        before = [p.detach().clone() for p in parameters]
        moves = perturbations(parameters, **case["sam"])
        with torch.no_grad():
            for p, e in zip(parameters, moves):
                p.add_(e)
        optimizer.zero_grad()
        backward(parameters, step)
        with torch.no_grad():
            for p, w in zip(parameters, before):
                p.copy_(w)
        if "max_grad_norm" in case:
            torch.nn.utils.clip_grad_norm_(parameters, case["max_grad_norm"])
        optimizer.step()
        rows.append(torch.cat([p.detach().flatten() for p in parameters]).tolist())
    return rows


path = pathlib.Path(__file__).with_suffix(".json")
if len(sys.argv) == 1:
    torch.set_default_dtype(torch.float64)
    path.write_text(json.dumps([{**case, "trajectory": trajectory(case)} for case in CASES]) + "\n")
else:
    for case in json.loads(path.read_text()):
        expected = torch.tensor(case.pop("trajectory"), dtype=torch.float64)
        found = torch.tensor(trajectory(case)).double()
        print(f"{((found - expected).abs() / (1 + expected.abs())).max().item():.1e}", case)
