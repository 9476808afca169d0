"""Gradients clipped by their global norm, as torch.nn.utils.clip_grad_norm_ does. Prints clip.json: for each
maximum, the norm that was found and the gradients of `w` [4, 3] and `b` [3], which begin as the formulas below."""
import json

import torch

cases = []
for maximum in [0.1, 1.0, 7.5, 100.0]:
    w = torch.zeros(4, 3, requires_grad=True)
    b = torch.zeros(3, requires_grad=True)
    w.grad = torch.arange(12, dtype=torch.float32).view(4, 3) * 0.25 - 1.0
    b.grad = torch.arange(3, dtype=torch.float32) * 0.5
    norm = torch.nn.utils.clip_grad_norm_([w, b], maximum)
    grads = torch.cat([w.grad.flatten(), b.grad]).tolist()
    cases.append({"max_norm": maximum, "norm": norm.item(), "grads": grads})
print(json.dumps(cases, indent=1))
