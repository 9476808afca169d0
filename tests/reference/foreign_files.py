"""Saves the weights of a checkpoint as PyTorch programs commonly do. Usage: foreign_files.py CHECKPOINT FOLDER

bare.pt, model.pt, state_dict.pt (with DataParallel's prefix), legacy.pt (the format before 1.6), and training.pt, which
torchvision's references would write after their first epoch: model, optimizer, epoch. The optimizer's state goes through
torch.optim.AdamW.

Also, for networks whose classifier is called so, the same weights in the files of other kinds of programs: objects.pth,
net.pth, state_dict_ema.pth, nested.pth, headless.pth, backbone.pth, lightning.ckpt, averaged.pth and dino.pth; part.pth, where
a layer is missing, and call.pth, which would run a program.
"""
import argparse
import datetime
import os
import pathlib
import sys

import numpy
import torch

source, folder = sys.argv[1:3]
checkpoint = torch.load(source, weights_only=True)
model = checkpoint["model_state_dict"]
torch.save(model, f"{folder}/bare.pt")
torch.save({"model": model, "epoch": 0}, f"{folder}/model.pt")
torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in model.items()}}, f"{folder}/state_dict.pt")
torch.save(model, f"{folder}/legacy.pt", _use_new_zipfile_serialization=False)
names = checkpoint["optimizer_state_dict"]["param_groups"][0]["param_names"]
optimizer = torch.optim.AdamW([torch.nn.Parameter(model[name].clone()) for name in names])
optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
torch.save({"model": model, "optimizer": optimizer.state_dict(), "epoch": 0}, f"{folder}/training.pt")


class Call:
    """Runs a program when it is unpickled."""

    def __reduce__(self):
        return os.system, (f"touch {folder}/executed",)


def after(prefix, state):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


other = {name: tensor + 1 for name, tensor in model.items()}
headless = {name: tensor for name, tensor in model.items() if not name.startswith("classifier")}
part = {name: tensor for name, tensor in model.items() if not name.startswith("features.1.")}
objects = {"best_acc": numpy.float64(0.9), "history": numpy.ones(3), "when": datetime.datetime.now(), "out": pathlib.Path("a")}
args = argparse.Namespace(lr=0.1, path=pathlib.Path("a"))
for name, value in {
    "objects.pth": {"state_dict": model, "optimizer": optimizer, "args": args, "call": Call(), **objects},
    "net.pth": {"net": model, "acc": 94.1, "epoch": 7},
    "state_dict_ema.pth": {"epoch": 7, "state_dict_ema": model},
    "nested.pth": {"checkpoint": {"model": after("module.", model)}, "optimizer": optimizer.state_dict()},
    "headless.pth": headless,
    "backbone.pth": {"meta": {}, "state_dict": after("backbone.", headless) | {"head.fc.weight": torch.zeros(3, 9)}},
    "lightning.ckpt": {"state_dict": after("model.", model) | {"criterion.weight": torch.ones(3)}, "callbacks": {}},
    "averaged.pth": {"model": model, "model_ema": other},
    "dino.pth": {"student": after("backbone.", model), "teacher": after("backbone.", other), "epoch": 3},
    "part.pth": {"model": part},
    "call.pth": Call(),
}.items():
    torch.save(value, f"{folder}/{name}")
