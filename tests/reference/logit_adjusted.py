"""Cross entropy of adjusted logits (Menon et al. 2021, equation 10) in float64.

Writes logit_adjusted.json beside itself. `plain` is the loss of the logits as they are, that of validation.
"""
import json
import pathlib

import torch
import torch.nn.functional as F

torch.manual_seed(13)
COUNTS = torch.tensor([6, 3, 1], dtype=torch.float64)  # training images of each class
LOG_PRIOR = torch.log(COUNTS / COUNTS.sum())

CONFIGS = [
    {"name": "cross_entropy", "logit_adjustment": 1.0},
    {"name": "cross_entropy", "logit_adjustment": 0.5, "label_smoothing": 0.1},
    {"name": "cross_entropy", "logit_adjustment": 2.0, "class_weights": [0.5, 1.0, 2.0]},
]
cases = []
for config in CONFIGS:
    tau, smoothing = config["logit_adjustment"], config.get("label_smoothing", 0.0)
    weight = torch.tensor(config.get("class_weights", [1.0] * 3), dtype=torch.float64)
    for soft in (False, True):
        logits = (torch.randn(5, 3, dtype=torch.float32) * 3).double().requires_grad_()
        classes = torch.arange(5) % 3
        target = F.one_hot(classes, 3).double()
        given = 0.75 * target + 0.25 * target.flip(0) if soft else classes

        def loss(of):
            return F.cross_entropy(of, given, weight=weight, label_smoothing=smoothing)

        mean = loss(logits + tau * LOG_PRIOR)
        if config == CONFIGS[0] and not soft:  # the paper's formula: log(1 + Σ (π_k / π_y)^τ exp(x_k − x_y))
            ratio = LOG_PRIOR - LOG_PRIOR[classes][:, None] + logits - logits.gather(1, classes[:, None])
            assert abs(torch.log(torch.exp(ratio).sum(1)).mean() - mean) < 1e-12
        mean.backward()
        case = {"config": config, "logits": logits.tolist(), "mean": mean.item(), "grad": logits.grad.tolist()}
        case["plain"] = loss(logits).item()
        case.update({"probabilities": given.tolist()} if soft else {"classes": classes.tolist()})
        cases.append(case)
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
