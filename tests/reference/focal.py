"""The focal loss and its gradient in float64, for K classes by softmax; writes focal.json beside itself.

Checked here: with two classes it is torchvision's sigmoid_focal_loss, with gamma 0 it is PyTorch's cross entropy.
"""
import json
import pathlib

import torch
from torchvision.ops import sigmoid_focal_loss

torch.manual_seed(3)


def focal(logits, target, gamma, alpha):
    """`target` [N, K]: probabilities, or one-hot classes; the mean over N."""
    p = torch.softmax(logits, 1)
    terms = -alpha * (1 - p) ** gamma * torch.log(p)
    return (target * terms).sum() / len(logits)


def alphas(alpha, classes):
    if alpha in (None, "none"):
        return torch.ones(classes, dtype=torch.float64)
    if alpha == "balanced":  # of 6, 3 and 1 images, scikit-learn's
        return torch.tensor([10 / (3 * n) for n in (6, 3, 1)], dtype=torch.float64)
    if isinstance(alpha, float):
        return torch.tensor([1 - alpha, alpha], dtype=torch.float64)
    return torch.tensor(alpha, dtype=torch.float64)


CONFIGS = [
    {"name": "focal"},
    {"name": "focal", "gamma": 0.0},
    {"name": "focal", "gamma": 0.5, "alpha": "balanced"},
    {"name": "focal", "gamma": 5.0, "alpha": [0.5, 1.0, 2.0]},
    {"name": "focal", "alpha": [0.5, 0.0, 2.0]},
    {"name": "focal", "alpha": 0.25},
]
cases = []
for config in CONFIGS:
    k = 2 if isinstance(config.get("alpha"), float) else 3
    gamma, alpha = config.get("gamma", 2.0), alphas(config.get("alpha"), k)
    for soft in (False, True):
        logits = (torch.randn(5, k, dtype=torch.float32) * 3).double().requires_grad_()
        classes = torch.arange(5) % k
        target = torch.nn.functional.one_hot(classes, k).double()
        if soft:
            target = (0.75 * target + 0.25 * target.flip(0)).double()
        mean = focal(logits, target, gamma, alpha)
        mean.backward()
        if k == 2 and not soft:
            x = logits[:, 1] - logits[:, 0]
            theirs = sigmoid_focal_loss(x, classes.double(), alpha=config["alpha"], gamma=gamma, reduction="mean")
            assert abs(theirs - mean) < 1e-12, (theirs, mean)
        if gamma == 0:
            assert abs(torch.nn.functional.cross_entropy(logits, target) - mean) < 1e-12
        case = {"config": config, "logits": logits.tolist(), "mean": mean.item(), "grad": logits.grad.tolist()}
        case.update({"probabilities": target.tolist()} if soft else {"classes": classes.tolist()})
        cases.append(case)
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
