"""Changes one thing of a checkpoint. Usage: change_checkpoint.py CHECKPOINT OUT WHAT"""
import sys

import torch

source, out, what = sys.argv[1:4]
checkpoint = torch.load(source, weights_only=True)
if what == "architecture":
    checkpoint["config"]["model"]["architecture"] = "resnet18"
elif what == "classes":
    checkpoint["classes"] = ["x", "y"]
elif what == "version":
    checkpoint["format_version"] = 99
elif what == "nan":
    checkpoint["model_state_dict"]["features.0.conv.weight"][0] = float("nan")
elif what == "optimizer":
    checkpoint["optimizer_state_dict"]["param_groups"][0]["params"].pop()
elif what == "missing":
    del checkpoint["optimizer_state_dict"]
torch.save(checkpoint, out)
