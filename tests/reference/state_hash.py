"""SHA-256 over weights and optimizer state of the given checkpoint, names and bytes, as torch.load gives them."""
import hashlib
import sys

import torch

checkpoint = torch.load(sys.argv[1], weights_only=True)
digest = hashlib.sha256()


def add(path, value):
    if isinstance(value, torch.Tensor):
        digest.update(path.encode() + str(value.dtype).encode() + value.contiguous().numpy().tobytes())
    elif isinstance(value, dict):
        for key, inner in value.items():
            add(f"{path}.{key}", inner)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            add(f"{path}.{index}", inner)
    else:
        digest.update(f"{path}={value!r}".encode())


add("model", checkpoint["model_state_dict"])
add("optimizer", checkpoint["optimizer_state_dict"])
print(checkpoint["epoch"], checkpoint["step"], digest.hexdigest())
