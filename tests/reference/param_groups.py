"""The optimizer's groups in a checkpoint: a line of learning rate, weight decay and names for each."""
import sys

import torch

state = torch.load(sys.argv[1], weights_only=True)["optimizer_state_dict"]
for group in state["param_groups"]:
    print(f"lr {group['lr']:g} weight_decay {group['weight_decay']:g}", *group["param_names"])
