"""Trajectories of 20 steps by torch.optim on a small problem; writes optimizers.json beside itself.

The loss of step s is the sum over the elements p of w [4, 3] and b [3] of p^2 (i + 1) / 10, times 1 + s mod 3,
with i the place of p in its tensor.
"""
import json
import pathlib

import torch

OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
CONFIGS = [
    {"name": "sgd", "lr": 0.1, "momentum": 0.0},
    {"name": "sgd", "lr": 0.1, "momentum": 0.9},
    {"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    {"name": "sgd", "lr": 0.1, "momentum": 0.5, "dampening": 0.3, "weight_decay": 0.1},
    {"name": "adam", "lr": 0.1},
    {"name": "adam", "lr": 0.05, "betas": [0.8, 0.95], "weight_decay": 0.1},
    {"name": "adam", "lr": 0.1, "amsgrad": True},
    {"name": "adamw", "lr": 0.1, "weight_decay": 0.05},
    {"name": "adamw", "lr": 0.1, "amsgrad": True, "eps": 1e-6},
]
cases = []
for config in CONFIGS:
    w = (torch.arange(12.0).view(4, 3) * 0.25 - 1).requires_grad_()
    b = (torch.arange(3.0) * 0.5).requires_grad_()
    optimizer = OPTIMIZERS[config["name"]]([w, b], **{k: v for k, v in config.items() if k != "name"})
    trajectory = []
    for step in range(20):
        optimizer.zero_grad()
        loss = sum((p.square() * (torch.arange(float(p.numel())).view_as(p) + 1) / 10).sum() for p in (w, b))
        (loss * (1 + step % 3)).backward()
        optimizer.step()
        trajectory.append(torch.cat([w.flatten(), b]).tolist())
    cases.append({"config": config, "trajectory": trajectory})
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
