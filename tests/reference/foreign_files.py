"""Saves the weights of a checkpoint as PyTorch programs commonly do. Usage: foreign_files.py CHECKPOINT FOLDER

bare.pt, model.pt, state_dict.pt (with DataParallel's prefix), legacy.pt (the format before 1.6), and training.pt, which
torchvision's references would write after their first epoch: model, optimizer, epoch. The optimizer's state goes through
torch.optim.AdamW.
"""
import sys

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
