"""Parameters, buffers and GFLOPs of torchvision's networks as its own tables have them, for 1000 classes; prints JSON.

Usage: costs.py NAME...
"""
import json
import sys

import torch
import torchvision

costs = {}
for name in sys.argv[1:]:
    meta = torchvision.models.get_model_weights(name).IMAGENET1K_V1.meta
    with torch.device("meta"):
        net = torchvision.models.get_model(name)
    costs[name] = {
        "num_params": meta["num_params"],
        "ops": meta["_ops"],
        "buffers": sum(buffer.numel() for buffer in net.buffers()),
    }
print(json.dumps(costs))
