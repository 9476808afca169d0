"""Learning rates of 100 steps by PyTorch's schedulers, with and without warm-up, computed once an epoch and at every
step; what PyTorch does not have (cycle_decay, min_lr of polynomial, wsd) by its closed form. Writes schedules.json
beside itself."""
import json
import math
import pathlib
import warnings

import torch
from torch.optim import lr_scheduler as s

warnings.filterwarnings("ignore")
LR, STEPS, START_FACTOR = 0.1, 100, 0.01


def closed_form(factor):
    """factor(t): what the learning rate is multiplied by at step t."""
    return lambda o, c, steps, n: s.LambdaLR(o, lambda t: factor(t, c, steps, n))


def restarts(t, c, steps, n):
    length, cycle = c["t_0"] * n, 0
    while t >= length:
        t, length, cycle = t - length, length * c["t_mult"], cycle + 1
    low, high = c["min_lr"] / LR, c["cycle_decay"] ** cycle
    return low + (high - low) * (1 + math.cos(math.pi * t / length)) / 2


def polynomial(t, c, steps, n):
    low = c["min_lr"] / LR
    return low + (1 - low) * (1 - min(t / steps, 1)) ** c["power"]


def wsd(t, c, steps, n):
    all_steps = steps + c.get("warmup_epochs", 0) * n
    decay = min(c["decay_epochs"] * n if "decay_epochs" in c else c["decay_fraction"] * all_steps, steps)
    x = max(0, min(1, (t - (steps - decay)) / decay))
    low = c["min_lr"] / LR
    shape = {"linear": 1 - x, "cosine": (1 + math.cos(math.pi * x)) / 2, "sqrt": 1 - math.sqrt(x)}[c["shape"]]
    return low + (1 - low) * shape


# (optimizer, settings, steps that follow the warm-up, steps of an epoch) -> scheduler
MAIN = {
    "constant": lambda o, c, steps, n: s.ConstantLR(o, factor=1.0, total_iters=0),
    "step": lambda o, c, steps, n: s.StepLR(o, c["step_size"] * n, c["gamma"]),
    "multistep": lambda o, c, steps, n: s.MultiStepLR(o, [m * n for m in c["milestones"]], c["gamma"]),
    "cosine": lambda o, c, steps, n: s.CosineAnnealingLR(o, steps, c["min_lr"]),
    "cosine_restarts": lambda o, c, steps, n: (
        closed_form(restarts)(o, c, steps, n) if "cycle_decay" in c
        else s.CosineAnnealingWarmRestarts(o, c["t_0"] * n, c["t_mult"], c["min_lr"])),
    "polynomial": lambda o, c, steps, n: (
        closed_form(polynomial)(o, c, steps, n) if "min_lr" in c
        else s.PolynomialLR(o, c.get("total_iters", 0) * n or steps, c["power"])),
    "linear": lambda o, c, steps, n: s.LinearLR(
        o, c["start_factor"], c["end_factor"], c["total_iters"] * n if c["total_iters"] != "auto" else steps),
    "exponential": lambda o, c, steps, n: s.ExponentialLR(o, c["gamma"] ** (1 / n)),
    "wsd": closed_form(wsd),
    "one_cycle": lambda o, c, steps, n: s.OneCycleLR(
        o, LR, total_steps=steps, cycle_momentum=False, **{k: v for k, v in c.items() if k != "name"}),
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
    {"name": "cosine_restarts", "t_0": 7, "t_mult": 1, "min_lr": 0.0},
    {"name": "cosine_restarts", "t_0": 4, "t_mult": 2, "min_lr": 0.001},
    {"name": "cosine_restarts", "t_0": 5, "t_mult": 3, "min_lr": 0.001, "cycle_decay": 0.5},
    {"name": "cosine_restarts", "t_0": 6, "t_mult": 1, "min_lr": 0.0, "cycle_decay": 0.7},
    {"name": "polynomial", "power": 1.0},
    {"name": "polynomial", "power": 0.9, "total_iters": 15},
    {"name": "polynomial", "power": 2.0, "min_lr": 0.001},
    {"name": "linear", "start_factor": 1 / 3, "end_factor": 1.0, "total_iters": 5},
    {"name": "linear", "start_factor": 1.0, "end_factor": 0.0, "total_iters": "auto"},
    {"name": "linear", "start_factor": 1.0, "end_factor": 0.05, "total_iters": 12},
    {"name": "exponential", "gamma": 0.95},
    {"name": "wsd", "decay_fraction": 0.2, "shape": "sqrt", "min_lr": 0.0},
    {"name": "wsd", "decay_fraction": 0.1, "shape": "linear", "min_lr": 0.001},
    {"name": "wsd", "decay_fraction": 0.2, "decay_epochs": 9, "shape": "cosine", "min_lr": 0.0},
]
SEQUENCES = [
    [({"name": "linear", "start_factor": 0.1, "end_factor": 1.0, "total_iters": 5}, 5),
     ({"name": "cosine", "min_lr": 0.0}, 10),
     ({"name": "exponential", "gamma": 0.9}, "auto")],
    [({"name": "polynomial", "power": 2.0}, 6),
     ({"name": "cosine_restarts", "t_0": 3, "t_mult": 1, "min_lr": 0.001}, 6),
     ({"name": "step", "step_size": 2, "gamma": 0.5}, 3)],
]


def rates(schedule):
    """schedule(optimizer) -> the learning rates of its steps"""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler, found = schedule(optimizer), []
    for _ in range(STEPS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def after_warmup(config, warmup, n):
    def schedule(optimizer):
        if not warmup:
            return MAIN[config["name"]](optimizer, config, STEPS, n)
        linear = s.LinearLR(optimizer, start_factor=START_FACTOR, total_iters=warmup * n)
        main = MAIN[config["name"]](optimizer, config, STEPS - warmup * n, n)
        return s.SequentialLR(optimizer, [linear, main], milestones=[warmup * n])
    return schedule


def sequence(parts, n):
    def schedule(optimizer):
        schedules, milestones, start = [], [], 0
        for config, epochs in parts:
            length = STEPS - start if epochs == "auto" else epochs * n
            schedules.append(MAIN[config["name"]](optimizer, config, length, n))
            start += length
            milestones.append(start)
        return s.SequentialLR(optimizer, schedules, milestones[:-1])
    return schedule


cases = []
for base in BASE:
    by_steps = base["name"] == "one_cycle"
    for warmup in (0,) if by_steps else (0, 5):
        # With one step an epoch both intervals are the same.
        for n in (1,) if by_steps else (1, 5):
            config = dict(base)
            if not by_steps:
                config.update(warmup_epochs=warmup, warmup_start_factor=START_FACTOR)
            if n > 1:
                # PyTorch's drops of StepLR and MultiStepLR are at whole epochs as well.
                config["interval"] = "step"
            cases.append({"config": config, "steps_per_epoch": n, "lr": rates(after_warmup(config, warmup, n))})
for parts in SEQUENCES:
    for n in (1, 5):
        interval = {"interval": "step"} if n > 1 else {}
        config = {"name": "sequence",
                  "schedules": [{"schedule": {**part, **interval}, "epochs": epochs} for part, epochs in parts]}
        cases.append({"config": config, "steps_per_epoch": n, "lr": rates(sequence(parts, n))})
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
