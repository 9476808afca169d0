"""Weights for ml-inference, images, and what PyTorch's network makes of them; prints JSON: of each image, the probability of every
class.

published FILE SIZE FOLDER: torchvision's resnet18 of 1000 classes, as long as the published file, with torchvision's own
transforms of its published weights. cifar FILE FOLDER: resnet20 of own_networks.py, saved as the programs of 2018 do: under
state_dict, after module., with ImageNet's normalization of images of 32 x 32. Both have been in training for some batches, so
that batch norms do something. 0.png, 1.png and 2.png in FOLDER are of sizes that no resize changes, whose arithmetic would be
another's: tests/reference/resize.py compares it.
"""
import json
import os
import pathlib
import sys

import torch
import torchvision
from PIL import Image
from torchvision.transforms import functional as F

import own_networks

IMAGES = pathlib.Path(__file__).parent.parent / "data" / "images"
torch.set_num_threads(1)


def trained(net, side):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _ in range(3):
            net(torch.randn(8, 3, side, side, generator=generator))
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight += torch.randn(module.weight.shape, generator=generator) * 0.1
                module.bias += torch.randn(module.bias.shape, generator=generator) * 0.1
    return net.eval()


def probabilities(net, transform, folder, sizes):
    """Of images of these sizes, which are written."""
    probabilities = []
    for number, (name, size) in enumerate(zip(["rgb.png", "image.png", "palette.png"], sizes)):
        image = Image.open(IMAGES / name).convert("RGB").resize(size, Image.BICUBIC)
        image.save(f"{folder}/{number}.png")
        with torch.no_grad():
            probabilities.append(net(transform(image)[None]).softmax(1)[0].tolist())
    return probabilities


def published(file, size, folder):
    torch.manual_seed(3)
    net = trained(torchvision.models.resnet18(num_classes=1000), 64)
    torch.save(net.state_dict(), file, _use_new_zipfile_serialization=False)
    with open(file, "ab") as out:
        out.write(bytes(size - os.path.getsize(file)))
    transform = torchvision.models.ResNet18_Weights.DEFAULT.transforms()
    return probabilities(net, transform, folder, [(256, 256), (300, 256), (256, 281)])


def cifar(file, folder):
    torch.manual_seed(3)
    net = trained(own_networks.resnet20(10), 32)
    # Less sure, so that all probabilities count.
    net.linear.weight.data *= 0.05
    torch.save({"state_dict": torch.nn.DataParallel(net).state_dict(), "best_prec1": 91.25}, file)

    def transform(image):
        return F.normalize(F.to_tensor(image), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])

    return probabilities(net, transform, folder, [(32, 32)] * 3)


match sys.argv[1:]:
    case ["published", file, size, folder]:
        print(json.dumps(published(file, int(size), folder)))
    case ["cifar", file, folder]:
        print(json.dumps(cifar(file, folder)))
    case _:
        sys.exit("usage: weights_predict.py published FILE SIZE FOLDER or weights_predict.py cifar FILE FOLDER")
