"""The asymmetric loss and its gradient in float64; writes asymmetric.json beside itself.

Of several labels an image by sigmoid, of one label an image, or probabilities, by softmax. Checked here: without
focusing and clipping they are PyTorch's binary cross entropy and cross entropy.
"""
import json
import pathlib

import torch
import torch.nn.functional as F

torch.manual_seed(7)
K = 3


def multi_label(logits, target, gamma_pos, gamma_neg, clip):
    """`target` [N, K], 0 or 1; the sum over classes, the mean over N."""
    p = torch.sigmoid(logits)
    shifted = (p - clip).clamp(min=0)
    positive = (1 - p) ** gamma_pos * torch.log(p)
    negative = shifted**gamma_neg * torch.log(1 - shifted)
    return -(target * positive + (1 - target) * negative).sum() / len(logits)


def single_label(logits, target, gamma_pos, gamma_neg, smoothing):
    """`target` [N, K], rows sum to 1: the mean, over the classes they are probabilities of, of their losses."""
    p = torch.softmax(logits, 1)
    total = 0.0
    for of in range(K):
        one_hot = F.one_hot(torch.tensor(of), K).double()
        weights = torch.where(one_hot == 1, (1 - p) ** gamma_pos, p**gamma_neg)
        smoothed = (1 - smoothing) * one_hot + smoothing / K
        total = total - (target[:, of] * (smoothed * weights * torch.log(p)).sum(1)).sum()
    return total / len(logits)


CONFIGS = [
    {"name": "asymmetric"},
    {"name": "asymmetric", "gamma_pos": 0.0, "gamma_neg": 0.0, "clip": 0.0},
    {"name": "asymmetric", "gamma_pos": 0.5, "gamma_neg": 2.0, "clip": 0.2, "label_smoothing": 0.0},
    {"name": "asymmetric", "gamma_pos": 3.0, "gamma_neg": 1.5, "clip": 0.0, "label_smoothing": 0.3},
]
cases = []
for config in CONFIGS:
    gammas = config.get("gamma_pos", 1.0), config.get("gamma_neg", 4.0)
    clip, smoothing = config.get("clip", 0.05), config.get("label_smoothing", 0.1)
    for kind in ("classes", "probabilities", "multi_hot"):
        logits = (torch.randn(5, K, dtype=torch.float32) * 3).double().requires_grad_()
        classes = torch.arange(5) % K
        target = F.one_hot(classes, K).double()
        if kind == "multi_hot":
            target = torch.maximum(target, target.roll(1, 0))
            target[4] = 0
            mean = multi_label(logits, target, *gammas, clip)
            plain = F.binary_cross_entropy_with_logits(logits, target) * K
        else:
            if kind == "probabilities":
                target = 0.75 * target + 0.25 * target.flip(0)
            mean = single_label(logits, target, *gammas, smoothing)
            plain = F.cross_entropy(logits, target, label_smoothing=smoothing)
        if gammas == (0, 0):
            assert abs(mean - plain) < 1e-12, (mean, plain)
        mean.backward()
        given = classes if kind == "classes" else target
        case = {"config": config, "logits": logits.tolist(), "mean": mean.item(), "grad": logits.grad.tolist()}
        cases.append({**case, kind: given.tolist()})
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
