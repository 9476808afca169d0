"""Times torch.save and torch.load of the tensors in a checkpoint and prints milliseconds as JSON.

Usage: checkpoint_speed.py FILE ROUNDS; FILE's tensors are saved beside it, with fsync, as FILE.python.
"""

import json
import os
import sys
import time

import torch

path, rounds = sys.argv[1], int(sys.argv[2])
state = torch.load(path, weights_only=True)
save, sync, load = [], [], []
for _ in range(rounds):
    start = time.perf_counter()
    with open(path + ".python", "wb") as file:
        torch.save(state, file)
        file.flush()
        save.append(time.perf_counter() - start)
        os.fsync(file.fileno())
    sync.append(time.perf_counter() - start)
    start = time.perf_counter()
    torch.load(path + ".python", weights_only=True)
    load.append(time.perf_counter() - start)
print(json.dumps({name: [t * 1e3 for t in times] for name, times in (("save", save), ("sync", sync), ("load", load))}))
