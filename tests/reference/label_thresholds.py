"""Prints how many labels an image has and the thresholds of a checkpoint, as Python reads them.

Usage: label_thresholds.py CHECKPOINT
"""

import json
import sys

import torch

checkpoint = torch.load(sys.argv[1], weights_only=True)
print(json.dumps({"task": checkpoint.get("task"), "thresholds": checkpoint.get("thresholds")}))
