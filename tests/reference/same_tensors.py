"""Names of the tensors that are equal, to the bit, in the networks of two checkpoints, a line each."""
import sys

import torch

first, second = (torch.load(path, weights_only=True)["model_state_dict"] for path in sys.argv[1:3])
for name, tensor in first.items():
    if torch.equal(tensor, second[name]):
        print(name)
