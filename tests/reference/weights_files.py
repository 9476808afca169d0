"""Saves torchvision's resnet18 with 5 classes as other programs do, and prints its logits for an image made by a formula.

references.pth: as torchvision's references save a distributed training; lightning.ckpt: as a Lightning module of a compiled
network; old.pth: before PyTorch 0.4.1, in the old format, without counts of batches; objects.pth: beside objects that are
not data; whole.pth, whole_legacy.pth and yolo.pt: whole pickled modules; call.pth, called.pth, part.pth and numbers.pth: no
weights, or something else in their place. `cached` writes the state of 1000 classes, made as long as the published file:
SIZE bytes. `same` prints whether the first convolution of a checkpoint is that of such a file.

Usage: weights_files.py FOLDER, weights_files.py cached FILE SIZE, or weights_files.py same CHECKPOINT FILE
"""
import collections
import datetime
import json
import os
import pathlib
import sys

import numpy
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
    beside = {"best_acc": numpy.float64(0.9), "when": datetime.datetime.now(), "out": pathlib.Path("a")}
    torch.save({"state_dict": state, "optimizer": torch.optim.SGD(net.parameters(), 0.1), **beside}, f"{folder}/objects.pth")
    torch.save(net, f"{folder}/whole.pth")
    torch.save(net, f"{folder}/whole_legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "model": net, "ema": None}, f"{folder}/yolo.pt")
    call = Call(folder)
    torch.save(call, f"{folder}/call.pth")
    torch.save({"state_dict": call}, f"{folder}/called.pth")
    torch.save({"state_dict": {**state, "fc.bias": call}}, f"{folder}/part.pth")
    torch.save({"epoch": 3, "lr": 0.1}, f"{folder}/numbers.pth")
    print(json.dumps(logits.flatten().tolist()))


class Call:
    """Runs a program when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.system, (f"touch {self.folder}/executed",)


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
