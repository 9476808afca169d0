"""PyTorch's equal average of weights that follow a formula, the learning rates of its SWALR, and
what its update_bn makes of batches that follow a formula. Prints swa.json."""
import json
import math

import torch
from torch.optim.lr_scheduler import ExponentialLR
from torch.optim.swa_utils import SWALR, AveragedModel, update_bn

EPOCHS = 12
START = 5

model = torch.nn.BatchNorm1d(1)
averaged = AveragedModel(model)
averages = []
for epoch in range(EPOCHS):
    value = math.sin(epoch * 1.7) * 3.0
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.fill_(value)
    averaged.update_parameters(model)
    averages.append(averaged.module.weight.item())

lrs = []
for strategy in ["cos", "linear"]:
    for anneal_epochs in [0, 4]:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scheduler = ExponentialLR(optimizer, gamma=0.9)
        swa_scheduler = None
        lr = []
        for epoch in range(EPOCHS):
            if epoch == START:
                swa_scheduler = SWALR(
                    optimizer, swa_lr=0.05, anneal_epochs=anneal_epochs, anneal_strategy=strategy
                )
            lr.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            (swa_scheduler or scheduler).step()
        lrs.append({"anneal_strategy": strategy, "anneal_epochs": anneal_epochs, "lr": lr})


def formula(shape, factor):
    count = math.prod(shape)
    return torch.sin(torch.arange(count, dtype=torch.float64) * factor).float().reshape(shape)


# The first convolution and batch norm of tiny_net.
network = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3, padding=1, bias=False), torch.nn.BatchNorm2d(16))
with torch.no_grad():
    network[0].weight.copy_(formula([16, 3, 3, 3], 0.37))
    network[1].running_mean.fill_(7.0)
    network[1].running_var.fill_(9.0)
    network[1].num_batches_tracked.fill_(5)
batches = [formula([size, 3, 8, 8], factor) for size, factor in [(4, 0.11), (4, 0.23), (2, 0.71)]]
update_bn(batches, network)
norm = network[1]
print(
    json.dumps(
        {
            "averages": averages,
            "lr": lrs,
            "running_mean": norm.running_mean.tolist(),
            "running_var": norm.running_var.tolist(),
            "num_batches_tracked": norm.num_batches_tracked.item(),
        },
        indent=1,
    )
)
