"""Saves torchvision's resnet18 with 5 classes as other programs do, and prints its logits for an image made by a formula.

references.pth: as torchvision's references save a distributed training; lightning.ckpt: as a Lightning module of a compiled
network; old.pth: before PyTorch 0.4.1, in the old format, without counts of batches. `cached` writes the state of 1000
classes, made as long as the published file: SIZE bytes. `same` prints whether the first convolution of a checkpoint is that
of such a file.

Usage: weights_files.py FOLDER, weights_files.py cached FILE SIZE, or weights_files.py same CHECKPOINT FILE
"""
import collections
import json
import os
import sys

import torch
import torchvision

torch.set_num_threads(1)


def build(classes):
    torch.manual_seed(3)
    return torchvision.models.resnet18(num_classes=classes).eval()


def cached(file, size):
    torch.save(build(1000).state_dict(), file, _use_new_zipfile_serialization=False)
    with open(file, "ab") as out:
        # PyTorch does not look at what follows the storages.
        out.write(bytes(size - os.path.getsize(file)))


def main(folder):
    net = build(5)
    images = (torch.arange(2 * 3 * 64 * 64, dtype=torch.float64) / 10).sin().float().view(2, 3, 64, 64)
    with torch.no_grad():
        logits = net(images)
    state = net.state_dict()
    wrapped = torch.nn.DataParallel(net).state_dict()
    torch.save({"model": wrapped, "epoch": 4, "args": None}, f"{folder}/references.pth")
    compiled = {f"net._orig_mod.{name}": tensor for name, tensor in state.items()}
    torch.save({"state_dict": compiled, "epoch": 4}, f"{folder}/lightning.ckpt")
    old = collections.OrderedDict((n, t) for n, t in state.items() if not n.endswith("num_batches_tracked"))
    torch.save(old, f"{folder}/old.pth", _use_new_zipfile_serialization=False)
    print(json.dumps(logits.flatten().tolist()))


def same(checkpoint, file):
    ours = torch.load(checkpoint, weights_only=True)["model_state_dict"]["conv1.weight"]
    print(torch.equal(ours, torch.load(file, weights_only=True)["conv1.weight"]))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["cached", file, size]:
            cached(file, int(size))
        case ["same", checkpoint, file]:
            same(checkpoint, file)
        case [folder]:
            main(folder)
