"""Learning rates of 100 epochs by PyTorch's ReduceLROnPlateau, on noisy metrics that stop getting better; writes
plateau.json beside itself."""
import json
import math
import pathlib
import random

import torch
from torch.optim import lr_scheduler as s

LR = 0.1
SETTINGS = [
    {},
    {"patience": 2},
    {"factor": 0.5, "patience": 0, "threshold": 0.01},
    {"factor": 0.5, "patience": 1, "threshold": 0.02, "threshold_mode": "abs", "cooldown": 3},
    {"factor": 0.3, "patience": 0, "threshold": 0.05, "min_lr": 0.002, "eps": 1e-8},
    {"factor": 0.5, "patience": 0, "cooldown": 1, "eps": 0.001},
    {"factor": 0.5, "patience": 2, "warmup_epochs": 5, "warmup_start_factor": 0.01},
]
cases = []
for settings in SETTINGS:
    for higher in (False, True):
        draw = random.Random(len(cases))
        losses = [0.2 + math.exp(-epoch / 15) + 0.05 * draw.random() for epoch in range(100)]
        metrics = [1.5 - loss if higher else loss for loss in losses]
        own = {key: value for key, value in settings.items() if not key.startswith("warmup")}
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
        plateau = s.ReduceLROnPlateau(optimizer, mode="max" if higher else "min", **own)
        rates, warmup = [], settings.get("warmup_epochs", 0)
        for epoch, metric in enumerate(metrics):
            rate = optimizer.param_groups[0]["lr"]
            if epoch < warmup:
                start = settings["warmup_start_factor"]
                rate = LR * (start + (1 - start) * epoch / warmup)
            else:
                optimizer.step()
                plateau.step(metric)
            rates.append(rate)
        config = {"name": "plateau", **settings}
        cases.append({"config": config, "higher": higher, "metrics": metrics, "lr": rates})
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
