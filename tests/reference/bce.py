"""Binary cross entropy and its gradient in float64; writes bce.json beside itself.

Checked here: it is PyTorch's binary_cross_entropy_with_logits of the same targets.
"""
import json
import pathlib

import torch

torch.manual_seed(5)
COUNTS = torch.tensor([6, 3, 1], dtype=torch.float64)  # training images of each class
K = len(COUNTS)


def bce(logits, target, pos_weight, sum_classes):
    """`target` [N, K] in 0 to 1; the mean over N, over classes their sum or mean."""
    p = torch.sigmoid(logits)
    terms = -(pos_weight * target * torch.log(p) + (1 - target) * torch.log(1 - p))
    return (terms.sum(1) if sum_classes else terms.mean(1)).mean()


def pos_weights(given):
    if given == "balanced":  # negatives / positives
        return (COUNTS.sum() - COUNTS) / COUNTS
    return torch.tensor(given, dtype=torch.float64)


CONFIGS = [
    {"name": "bce"},
    {"name": "bce", "label_smoothing": 0.1},
    {"name": "bce", "sum_classes": True, "pos_weight": 2.5},
    {"name": "bce", "pos_weight": "balanced", "label_smoothing": 0.2},
    {"name": "bce", "pos_weight": [0.5, 1.0, 2.0]},
    {"name": "bce", "target_threshold": 0.2, "sum_classes": True},
]
cases = []
for config in CONFIGS:
    smoothing, threshold = config.get("label_smoothing", 0.0), config.get("target_threshold")
    pos_weight, sum_classes = pos_weights(config.get("pos_weight", 1.0)), config.get("sum_classes", False)
    for kind in ("classes", "probabilities", "multi_hot"):
        logits = (torch.randn(5, K, dtype=torch.float32) * 3).double().requires_grad_()
        classes = torch.arange(5) % K
        target = torch.nn.functional.one_hot(classes, K).double()
        given = classes
        if kind == "classes":
            target = (1 - smoothing) * target + smoothing / K
        elif kind == "probabilities":
            given = 0.75 * target + 0.25 * target.flip(0)
            target = (1 - smoothing) * given + smoothing / K  # as mixup mixes smoothed targets
        else:
            given = target = torch.maximum(target, target.roll(1, 0))
        if threshold is not None:
            target = (target > threshold).double()
        mean = bce(logits, target, pos_weight, sum_classes)
        mean.backward()
        theirs = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, pos_weight=pos_weight)
        assert abs(theirs * (K if sum_classes else 1) - mean) < 1e-12, (theirs, mean)
        case = {"config": config, "logits": logits.tolist(), "mean": mean.item(), "grad": logits.grad.tolist()}
        cases.append({**case, kind: given.tolist()})
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
