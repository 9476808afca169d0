"""The distillation loss and its gradient in float64 by PyTorch's kl_div, cross_entropy and binary_cross_entropy; writes
distillation.json beside itself. With several labels per image the divergence is that of two outcomes, by torch.distributions.
"""
import json
import pathlib

import torch
from torch.distributions import Bernoulli, kl_divergence
from torch.nn import functional as F

torch.manual_seed(5)


def loss(logits, teacher, temperature, hard, multi_label):
    if multi_label and hard:
        return F.binary_cross_entropy_with_logits(logits, (teacher > 0).double())
    if multi_label:
        p, q = (Bernoulli(logits=x / temperature) for x in (teacher, logits))
        return temperature**2 * kl_divergence(p, q).mean()
    if hard:
        return F.cross_entropy(logits, teacher.argmax(1))
    q, p = F.log_softmax(logits / temperature, 1), F.softmax(teacher / temperature, 1)
    return temperature**2 * F.kl_div(q, p, reduction="batchmean")


cases = []
for multi_label in (False, True):
    for temperature, hard in ((1.0, False), (4.0, False), (8.0, False), (0.5, False), (4.0, True)):
        # Numbers that float32 has too.
        logits = (torch.randn(5, 4) * 3).double().requires_grad_()
        teacher = (torch.randn(5, 4) * 3).double()
        mean = loss(logits, teacher, temperature, hard, multi_label)
        mean.backward()
        cases.append({
            "temperature": temperature, "hard": hard, "multi_label": multi_label, "logits": logits.tolist(),
            "teacher": teacher.tolist(), "mean": mean.item(), "grad": logits.grad.tolist(),
        })
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
