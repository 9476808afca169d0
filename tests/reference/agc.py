"""Gradients clipped by adaptive gradient clipping (Brock et al. 2021, equation 3), in float64. Prints agc.json: for each
clip factor and eps, the gradients of a convolution [4, 3, 2, 2], a matrix [4, 3] and a bias [3]. Weights and gradients
begin as the formulas below; the second row of the matrix has no weights, its third no gradient."""
import json

import torch

torch.set_default_dtype(torch.float64)


def filled(shape, phase, scale):
    count = torch.Size(shape).numel()
    return (torch.arange(count) * 0.7 + phase).sin().view(shape) * scale


def norms(tensor):
    """Of what each output has; of a vector, over all."""
    return tensor.square().sum(dim=tuple(range(1, tensor.dim())) or None, keepdim=tensor.dim() > 1).sqrt()


cases = []
for clip_factor, eps in [(0.01, 1e-3), (0.5, 1e-3), (0.5, 2.0)]:
    grads = []
    for number, shape in enumerate([[4, 3, 2, 2], [4, 3], [3]]):
        weight, grad = filled(shape, number, 0.8), filled(shape, number + 0.5, 0.6)
        if shape == [4, 3]:
            weight[1], grad[2] = 0, 0
        largest = clip_factor * norms(weight).clamp(min=eps)
        length = norms(grad)
        clipped = torch.where(length > largest, grad * largest / length.clamp(min=1e-6), grad)
        grads.append(clipped.flatten().tolist())
    cases.append({"clip_factor": clip_factor, "eps": eps, "grads": grads})
print(json.dumps(cases))
