"""PyTorch's exponential moving average of weights and buffers that follow a formula. Prints ema.json."""
import json
import math

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

DECAY = 0.9
STEPS = 20

model = torch.nn.BatchNorm1d(1)
averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(DECAY), use_buffers=True)
averages = []
for step in range(STEPS):
    value = math.sin(step * 1.7) * 3.0
    with torch.no_grad():
        for tensor in [*model.parameters(), model.running_mean, model.running_var]:
            tensor.fill_(value)
    averaged.update_parameters(model)
    assert averaged.module.weight.item() == averaged.module.running_mean.item()
    averages.append(averaged.module.weight.item())
print(json.dumps({"decay": DECAY, "averages": averages}, indent=1))
