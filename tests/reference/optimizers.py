"""Trajectories of 50 steps of RMSprop and NAdam, and of 20 of the others, by torch.optim on a small problem; writes optimizers.json beside itself.

The loss of step s is the sum over the elements p of w [4, 3] and b [3] of p^2 (i + 1) / 10, times 1 + s mod 3,
with i the place of p in its tensor.
"""
import json
import pathlib
import re

import torch

OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW,
              "rmsprop": torch.optim.RMSprop, "nadam": torch.optim.NAdam}
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
    {"name": "rmsprop", "lr": 0.01},
    {"name": "rmsprop", "lr": 0.02, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1},
    {"name": "rmsprop", "lr": 0.01, "alpha": 0.9, "momentum": 0.9, "eps": 1e-3},
    {"name": "rmsprop", "lr": 0.01, "alpha": 0.9, "momentum": 0.5, "eps": 1e-2, "centered": True, "weight_decay": 0.05},
    {"name": "nadam", "lr": 0.02},
    {"name": "nadam", "lr": 0.02, "betas": [0.8, 0.95], "eps": 1e-3, "weight_decay": 0.1, "momentum_decay": 0.1},
    {"name": "nadam", "lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True},
    {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "param_groups": [{"pattern": "^w", "lr_scale": 0.1}]},
    {"name": "adamw", "lr": 0.1, "weight_decay": 0.05,
     "param_groups": [{"pattern": "b", "lr_scale": 0.25, "weight_decay": 0.2}, {"pattern": ".", "lr_scale": 0.5}]},
]
cases = []
for config in CONFIGS:
    w = (torch.arange(12.0).view(4, 3) * 0.25 - 1).requires_grad_()
    b = (torch.arange(3.0) * 0.5).requires_grad_()
    groups = []
    for name, p in (("w", w), ("b", b)):
        special = next((g for g in config.get("param_groups", []) if re.search(g["pattern"], name)), {})
        group = {"params": [p], "lr": config["lr"] * special.get("lr_scale", 1.0)}
        if "weight_decay" in special:
            group["weight_decay"] = special["weight_decay"]
        groups.append(group)
    options = {k: v for k, v in config.items() if k not in ("name", "param_groups")}
    optimizer = OPTIMIZERS[config["name"]](groups, **options)
    trajectory = []
    for step in range(50 if config["name"] in ("rmsprop", "nadam") else 20):
        optimizer.zero_grad()
        loss = sum((p.square() * (torch.arange(float(p.numel())).view_as(p) + 1) / 10).sum() for p in (w, b))
        (loss * (1 + step % 3)).backward()
        optimizer.step()
        trajectory.append(torch.cat([w.flatten(), b]).tolist())
    cases.append({"config": config, "trajectory": trajectory})
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
