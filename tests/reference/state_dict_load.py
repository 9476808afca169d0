"""Loads a checkpoint's weights, strictly, into torchvision's network, and prints its logits as JSON.

Usage: state_dict_load.py FILE NAME CLASSES SIZE. The image is that of network.py, the network in evaluation mode.
"""
import json
import sys

import torch
import torchvision

path, name, classes, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(1)
net = getattr(torchvision.models, name)(num_classes=classes)
net.load_state_dict(torch.load(path, weights_only=True)["model_state_dict"], strict=True)
images = (torch.arange(3 * size * size, dtype=torch.float64) / 10).sin().float().view(1, 3, size, size)
with torch.no_grad():
    print(json.dumps(net.eval()(images).flatten().tolist()))
