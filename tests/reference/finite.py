"""Says whether all weights and averages of a checkpoint are finite. Usage: finite.py CHECKPOINT"""
import sys

import torch

checkpoint = torch.load(sys.argv[1], weights_only=True)
for key in ("model_state_dict", "ema_state_dict"):
    for name, tensor in checkpoint[key].items():
        assert tensor.isfinite().all(), f"{key}.{name}"
print("finite")
