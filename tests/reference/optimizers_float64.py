"""Trajectories of 50 steps of the optimizers that torch.optim has not, by their formulas in float64, and of Muon by
torch.optim.Muon with its Newton-Schulz iterations in float64 instead of bfloat16; writes optimizers_float64.json beside
itself. The problem is that of optimizers.py. With an argument, float32 or bfloat16, the computation is done in that
(bfloat16: only the iterations, as torch.optim.Muon does), and the largest relative difference to the file is printed.
"""
import json
import math
import pathlib
import sys
from unittest import mock

import torch

CONFIGS = [
    {"name": "lamb", "lr": 0.05},
    {"name": "lamb", "lr": 0.02, "betas": [0.8, 0.95], "weight_decay": 0.1, "max_grad_norm": None, "trust_clip": True},
    {"name": "lamb", "lr": 0.01, "bias_correction": False, "grad_averaging": False, "weight_decay": 0.0,
     "always_adapt": True, "max_grad_norm": 2.5},
    {"name": "lion", "lr": 0.003},
    {"name": "lion", "lr": 0.002, "betas": [0.8, 0.95], "weight_decay": 0.5},
    {"name": "adan", "lr": 0.02},
    {"name": "adan", "lr": 0.05, "betas": [0.9, 0.8, 0.95], "eps": 1e-3, "weight_decay": 0.1},
    {"name": "adan", "lr": 0.02, "weight_decay": 0.1, "no_prox": True},
    {"name": "ademamix", "lr": 0.02},
    {"name": "ademamix", "lr": 0.02, "betas": [0.8, 0.95, 0.999], "alpha": 5.0, "alpha_warmup": 40, "beta3_warmup": 30,
     "weight_decay": 0.1},
    {"name": "rmsprop_tf", "lr": 0.01},
    {"name": "rmsprop_tf", "lr": 0.01, "momentum": 0.9, "eps": 1e-3, "weight_decay": 0.1},
    {"name": "rmsprop_tf", "lr": 0.01, "alpha": 0.95, "momentum": 0.5, "eps": 1e-2, "centered": True,
     "decoupled_decay": True, "weight_decay": 0.1, "lr_in_momentum": False},
    {"name": "muon", "lr": 0.02},
    {"name": "muon", "lr": 0.01, "weight_decay": 0.5, "momentum": 0.8, "nesterov": False, "ns_steps": 3, "adamw_lr": 0.05,
     "adjust_lr_fn": "match_rms_adamw"},
    {"name": "muon", "lr": 0.02, "fallback": "sgd", "sgd_lr": 0.05},
    {"name": "muon", "lr": 0.01, "weight_decay": 0.5, "fallback": "sgd", "sgd_lr": 0.02, "sgd_momentum": 0.6,
     "sgd_nesterov": False},
]


def zeros(p):
    return torch.zeros_like(p)


def lamb(p, g, s, t, norm, lr, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01, bias_correction=True, grad_averaging=True,
         max_grad_norm=1.0, trust_clip=False, always_adapt=False):
    beta1, beta2 = betas
    if max_grad_norm is not None:
        g = g / max(1.0, norm / max_grad_norm)
    s["m"] = beta1 * s.get("m", zeros(p)) + ((1 - beta1) if grad_averaging else 1.0) * g
    s["v"] = beta2 * s.get("v", zeros(p)) + (1 - beta2) * g * g
    m, v = s["m"], s["v"]
    if bias_correction:
        m, v = m / (1 - beta1**t), v / (1 - beta2**t)
    u = m / (v.sqrt() + eps) + weight_decay * p
    ratio = 1.0
    if weight_decay != 0 or always_adapt:
        of_p, of_u = p.norm().item(), u.norm().item()
        ratio = of_p / of_u if of_p > 0 and of_u > 0 else 1.0
        ratio = min(ratio, 1.0) if trust_clip else ratio
    return p - lr * ratio * u


def lion(p, g, s, t, norm, lr, betas=(0.9, 0.99), weight_decay=0.0):
    m = s.get("m", zeros(p))
    s["m"] = betas[1] * m + (1 - betas[1]) * g
    return (1 - lr * weight_decay) * p - lr * (betas[0] * m + (1 - betas[0]) * g).sign()


def adan(p, g, s, t, norm, lr, betas=(0.98, 0.92, 0.99), eps=1e-8, weight_decay=0.0, no_prox=False):
    beta1, beta2, beta3 = betas
    difference = g - s.get("g", g)
    s["g"] = g.clone()
    s["m"] = beta1 * s.get("m", zeros(p)) + (1 - beta1) * g
    s["d"] = beta2 * s.get("d", zeros(p)) + (1 - beta2) * difference
    s["n"] = beta3 * s.get("n", zeros(p)) + (1 - beta3) * (g + beta2 * difference) ** 2
    u = s["m"] / (1 - beta1**t) + beta2 * s["d"] / (1 - beta2**t)
    u = lr * u / ((s["n"] / (1 - beta3**t)).sqrt() + eps)
    return (1 - lr * weight_decay) * p - u if no_prox else (p - u) / (1 + lr * weight_decay)


def ademamix(p, g, s, t, norm, lr, betas=(0.9, 0.999, 0.9999), alpha=2.0, alpha_warmup=None, beta3_warmup=None, eps=1e-8,
             weight_decay=0.0):
    # Equations of section 3 of the paper.
    beta1, beta2, beta3 = betas
    if alpha_warmup is not None:
        alpha = min(t * alpha / alpha_warmup, alpha)
    if beta3_warmup is not None:
        share = t / beta3_warmup
        ln1, ln3 = math.log(beta1), math.log(beta3)
        # Beyond the warm-up, the denominator may change its sign.
        beta3 = math.exp(ln1 * ln3 / ((1 - share) * ln3 + share * ln1)) if share < 1 else beta3
    s["fast"] = beta1 * s.get("fast", zeros(p)) + (1 - beta1) * g
    s["slow"] = beta3 * s.get("slow", zeros(p)) + (1 - beta3) * g
    s["v"] = beta2 * s.get("v", zeros(p)) + (1 - beta2) * g * g
    u = (s["fast"] / (1 - beta1**t) + alpha * s["slow"]) / ((s["v"] / (1 - beta2**t)).sqrt() + eps)
    return p - lr * (u + weight_decay * p)


def rmsprop_tf(p, g, s, t, norm, lr, alpha=0.9, eps=1e-10, weight_decay=0.0, momentum=0.0, centered=False,
               decoupled_decay=False, lr_in_momentum=True):
    if decoupled_decay:
        p = (1 - lr * weight_decay) * p
    else:
        g = g + weight_decay * p
    s["v"] = alpha * s.get("v", torch.ones_like(p)) + (1 - alpha) * g * g
    variance = s["v"]
    if centered:
        s["m"] = alpha * s.get("m", zeros(p)) + (1 - alpha) * g
        variance = variance - s["m"] ** 2
    s["b"] = momentum * s.get("b", zeros(p)) + (lr if lr_in_momentum else 1.0) * g / (variance + eps).sqrt()
    return p - (1.0 if lr_in_momentum else lr) * s["b"]


FORMULAS = {"lamb": lamb, "lion": lion, "adan": adan, "ademamix": ademamix, "rmsprop_tf": rmsprop_tf}


def backward(w, b, step):
    loss = sum((p.square() * (torch.arange(float(p.numel())).view_as(p) + 1) / 10).sum() for p in (w, b))
    (loss * (1 + step % 3)).backward()


def by_formula(config, parameters):
    options = {k: v for k, v in config.items() if k != "name"}
    states, trajectory = [{} for _ in parameters], []
    for step in range(50):
        for p in parameters:
            p.grad = None
        backward(*parameters, step)
        norm = torch.cat([p.grad.flatten() for p in parameters]).norm().item()
        with torch.no_grad():
            for p, s in zip(parameters, states):
                p.copy_(FORMULAS[config["name"]](p.detach(), p.grad, s, step + 1, norm, **options))
        trajectory.append(torch.cat([p.flatten() for p in parameters]).tolist())
    return trajectory


def fallback(config, b):
    """What updates b, and what its weights are multiplied by before: SGD has no decoupled weight decay of its own."""
    decay = config.get("weight_decay", 0.1)
    if config.get("fallback") != "sgd":
        return torch.optim.AdamW([b], lr=config.get("adamw_lr", 0.001), weight_decay=decay), 1.0
    lr = config["sgd_lr"]
    options = {"momentum": config.get("sgd_momentum", 0.9), "nesterov": config.get("sgd_nesterov", True)}
    return torch.optim.SGD([b], lr=lr, **options), 1 - lr * decay


def by_muon(config, parameters, patched):
    w, b = parameters
    own = ("name", "fallback", "adamw_lr", "sgd_lr", "sgd_momentum", "sgd_nesterov")
    other, factor = fallback(config, b)
    optimizers = [torch.optim.Muon([w], **{k: v for k, v in config.items() if k not in own}), other]
    trajectory = []
    for step in range(50):
        for optimizer in optimizers:
            optimizer.zero_grad()
        backward(w, b, step)
        b.data.mul_(factor)
        with mock.patch.object(torch.Tensor, "bfloat16", torch.Tensor.clone if patched else torch.Tensor.bfloat16):
            for optimizer in optimizers:
                optimizer.step()
        trajectory.append(torch.cat([w.flatten(), b]).tolist())
    return trajectory


def trajectories(dtype, patched):
    torch.set_default_dtype(dtype)
    for config in CONFIGS:
        parameters = [(torch.arange(12.0).view(4, 3) * 0.25 - 1).requires_grad_(), (torch.arange(3.0) * 0.5).requires_grad_()]
        is_muon = config["name"] == "muon"
        yield config, by_muon(config, parameters, patched) if is_muon else by_formula(config, parameters)


path = pathlib.Path(__file__).with_suffix(".json")
if len(sys.argv) == 1:
    cases = [{"config": config, "trajectory": trajectory} for config, trajectory in trajectories(torch.float64, True)]
    path.write_text(json.dumps(cases) + "\n")
else:
    known = [case["trajectory"] for case in json.loads(path.read_text())]
    found = trajectories(torch.float32, sys.argv[1] != "bfloat16")
    for (config, trajectory), expected in zip(found, known):
        one, other = torch.tensor(trajectory).double(), torch.tensor(expected, dtype=torch.float64)
        print(f"{((one - other).abs() / (1 + other.abs())).max().item():.1e}", config)
