"""timm's JsdCrossEntropy and its gradient in float64; writes jensen_shannon.json beside itself.

Run with PYTHONPATH at timm 1.0.31. The logits of all splits are one tensor, the clean ones first. Where classes have
weights, the cross entropy is PyTorch's.
"""
import json
import pathlib

import torch
from timm.loss import JsdCrossEntropy
from torch import nn

torch.manual_seed(17)

CASES = [  # splits, alpha, smoothing, class weights, the size of the logits
    (3, 12.0, 0.0, None, 3.0),
    (3, 12.0, 0.1, None, 3.0),
    (2, 1.0, 0.0, None, 1.0),
    (4, 12.0, 0.1, None, 10.0),
    (3, 5.0, 0.1, [0.5, 1.0, 2.0], 3.0),
    (3, 12.0, 0.0, None, 0.0),  # views that agree
    (2, 12.0, 0.0, None, 25.0),  # probabilities below the bound of the mixture's
]
cases = []
for splits, alpha, smoothing, weights, size in CASES:
    loss = JsdCrossEntropy(num_splits=splits, alpha=alpha, smoothing=smoothing)
    if weights is not None:
        weight = torch.tensor(weights, dtype=torch.float64)
        loss.cross_entropy_loss = nn.CrossEntropyLoss(weight=weight, label_smoothing=smoothing)
    # Numbers that float32 has too.
    logits = (torch.randn(splits * 5, 3) * size).double().requires_grad_()
    classes = torch.arange(5) % 3
    mean = loss(logits, classes.repeat(splits))
    mean.backward()
    config = {"label_smoothing": smoothing} | ({} if weights is None else {"class_weights": weights})
    cases.append({
        "splits": splits, "alpha": alpha, "config": config, "logits": logits.tolist(), "classes": classes.tolist(),
        "mean": mean.item(), "grad": logits.grad.tolist(),
    })
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
