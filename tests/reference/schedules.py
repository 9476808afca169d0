"""Learning rates of 100 epochs by PyTorch's schedulers, with and without warm-up; writes schedules.json beside itself."""
import json
import pathlib
import warnings

import torch
from torch.optim import lr_scheduler as s

warnings.filterwarnings("ignore")
MAIN = {
    "constant": lambda o, c: s.ConstantLR(o, factor=1.0, total_iters=0),
    "step": lambda o, c: s.StepLR(o, c["step_size"], c["gamma"]),
    "multistep": lambda o, c: s.MultiStepLR(o, c["milestones"], c["gamma"]),
    "cosine": lambda o, c: s.CosineAnnealingLR(o, 100 - c.get("warmup_epochs", 0), c["min_lr"]),
    "one_cycle": lambda o, c: s.OneCycleLR(
        o, 0.1, total_steps=100, cycle_momentum=False, **{k: v for k, v in c.items() if k != "name"}),
}
BASE = [
    {"name": "constant"},
    {"name": "step", "step_size": 7, "gamma": 0.1},
    {"name": "multistep", "milestones": [30, 60, 80], "gamma": 0.2},
    {"name": "cosine", "min_lr": 0.001},
    {"name": "one_cycle"},
    {"name": "one_cycle", "anneal_strategy": "linear", "pct_start": 0.25, "div_factor": 10.0, "final_div_factor": 100.0},
    {"name": "one_cycle", "three_phase": True, "pct_start": 0.4},
    {"name": "one_cycle", "three_phase": True, "anneal_strategy": "linear"},
]
cases = []
for base in BASE:
    for warmup in (0,) if base["name"] == "one_cycle" else (0, 5):
        config = dict(base)
        if base["name"] != "one_cycle":
            config.update(warmup_epochs=warmup, warmup_start_factor=0.01)
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        if warmup:
            linear = s.LinearLR(optimizer, start_factor=0.01, total_iters=warmup)
            schedule = s.SequentialLR(optimizer, [linear, MAIN[base["name"]](optimizer, config)], milestones=[warmup])
        else:
            schedule = MAIN[base["name"]](optimizer, config)
        rates = []
        for _ in range(100):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        cases.append({"config": config, "lr": rates})
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
