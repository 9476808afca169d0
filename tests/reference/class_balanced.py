"""Losses with weights from the effective number of images, in float64; writes class_balanced.json beside itself."""
import json
import pathlib

import torch

torch.manual_seed(11)
COUNTS = torch.tensor([6, 3, 1], dtype=torch.float64)  # training images of each class


def effective_number(beta):
    """Cui et al. 2019, equation 2: scaled to sum to the number of classes."""
    weights = (1 - beta) / (1 - beta**COUNTS)
    return weights * len(COUNTS) / weights.sum()


cases = []
for beta in (0.0, 0.9, 0.9999):
    for name, key in (("cross_entropy", "class_weights"), ("focal", "alpha")):
        weights = effective_number(beta)
        logits = (torch.randn(5, 3, dtype=torch.float32) * 3).double().requires_grad_()
        classes = torch.arange(5) % 3
        log_p = torch.log_softmax(logits, 1).gather(1, classes[:, None])[:, 0]
        terms = -weights[classes] * log_p
        if name == "focal":
            mean = ((1 - log_p.exp()) ** 2 * terms).mean()
        else:
            mean = terms.sum() / weights[classes].sum()
        mean.backward()
        config = {"name": name, key: {"effective_number": beta}}
        case = {"config": config, "logits": logits.tolist(), "mean": mean.item(), "grad": logits.grad.tolist()}
        cases.append({**case, "weights": weights.tolist(), "classes": classes.tolist()})
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
