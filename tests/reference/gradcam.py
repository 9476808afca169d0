"""Grad-CAM of the package `grad-cam` for torchvision's networks from seed 7; writes gradcam.json beside itself.

Usage: gradcam.py. Needs `pip install grad-cam==1.5.7`, which is not part of the set-up.

Each network has 10 classes (the small transformers 5) and sees two images made by a formula: waves in a bright spot that
is elsewhere in each. Tensors that begin as one value everywhere are moved, as in network.py, and running variances are a tenth
of that, so that places still differ after many layers. Of each image: the predicted class, the class that is explained (that of the clearest map), the map of the feature map's size, row by row, and every
STEP-th row and column of the map of the image's size.
"""
import json
import pathlib
import warnings

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torchvision.models import SwinTransformer, VisionTransformer
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2

import network

STEP = 11
# (down, right) of the spots, in parts of the side.
CENTRES = ((0.3, 0.65), (0.7, 0.25))
RADIUS = 1 / 6


def images(side):
    waves = (torch.arange(2 * 3 * side * side, dtype=torch.float64) / 10).sin().view(2, 3, side, side)
    place = torch.arange(side, dtype=torch.float64) / side
    for image, (down, right) in zip(waves, CENTRES):
        distance = (place - down)[:, None] ** 2 + (place - right)[None, :] ** 2
        image *= 16 * (-distance / (2 * RADIUS**2)).exp()
    return waves.float()


def densenet(net):
    """torchvision rectifies the features in place, outside of any module: here a module does, whose output is that."""
    net.features.add_module("relu5", torch.nn.ReLU())
    net.forward = lambda images: net.classifier(net.features(images).mean((2, 3)))
    return net.features.relu5


def vit(side):
    torch.manual_seed(7)
    return VisionTransformer(
        image_size=side, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=24, num_classes=5
    )


def swin_v2(_):
    torch.manual_seed(7)
    return SwinTransformer(
        patch_size=[4, 4],
        embed_dim=32,
        depths=[2, 2, 1, 2],
        num_heads=[1, 2, 4, 8],
        window_size=[8, 8],
        num_classes=5,
        block=SwinTransformerBlockV2,
        downsample_layer=PatchMergingV2,
    )


def patches(tokens):
    """[N, 1 + n * n, D] -> [N, D, n, n]"""
    grid = tokens[:, 1:].transpose(1, 2)
    side = round(grid.shape[2] ** 0.5)
    return grid.reshape(*grid.shape[:2], side, side)


def channels_first(tokens):
    return tokens.permute(0, 3, 1, 2)


last = lambda net: net.features[-1]
norm1 = lambda net: net.features[-1][-1].norm1
# Side of the images, the layer, how its output becomes a feature map, how the network is built if it has no name.
CASES = {
    "alexnet": (96, last),
    "squeezenet1_1": (96, last),
    "resnet18": (96, lambda net: net.layer4[-1]),
    "densenet121": (96, densenet),
    "googlenet": (96, lambda net: net.inception5b),
    "shufflenet_v2_x0_5": (96, lambda net: net.conv5),
    "mnasnet0_5": (96, lambda net: net.layers[-1]),
    "mobilenet_v3_small": (96, last),
    "efficientnet_b0": (96, last),
    "regnet_y_400mf": (96, lambda net: net.trunk_output),
    "convnext_tiny": (96, last),
    "swin_t": (96, norm1, channels_first),
    "small swin_v2": (96, norm1, channels_first, swin_v2),
    "small vit": (48, lambda net: net.encoder.layers[-1].ln_1, patches, vit),
}


def clearest(cam, layer, batch, classes):
    """Of each image, the class whose map before scaling has the largest range in parts of what was added up."""
    found = []
    for label in range(classes):
        targets = [ClassifierOutputTarget(label)] * len(batch)
        cam(batch, targets)
        (activations,), (gradients,) = cam.activations_and_grads.activations, cam.activations_and_grads.gradients
        terms = gradients.mean((2, 3), keepdim=True) * activations
        sums = terms.sum(1).clamp_min(0).flatten(1)
        size = terms.abs().sum(1).flatten(1).amax(1)
        found.append((sums.amax(1) - sums.amin(1)) / size.clamp_min(1e-12))
    clarity, labels = torch.stack(found).max(0)
    return clarity.tolist(), labels.tolist()


def case(name, side, pick, reshape=None, build=None):
    classes = 5 if build else 10
    net = build(side) if build else network.build(name, classes, side)
    network.move(net)
    for key, buffer in net.named_buffers():
        if key.endswith("running_var"):
            buffer *= 0.1
    net.eval()
    layer, batch = pick(net), images(side)
    with GradCAM(net, [layer], reshape) as cam:
        clarity, labels = clearest(cam, layer, batch, classes)
        targets = [ClassifierOutputTarget(label) for label in labels]
        large = cam(batch, targets)
        predicted = cam.outputs.argmax(1).tolist()
        (activations,), (gradients,) = cam.activations_and_grads.activations, cam.activations_and_grads.gradients
        small = cam.get_cam_image(batch, layer, targets, activations.numpy(), gradients.numpy())
    small = scale_cam_image(np.maximum(small, 0))
    print(name, small.shape, labels, ["%.3f" % value for value in clarity])
    rounded = lambda values: [round(float(value), 7) for value in np.asarray(values).flatten()]
    return {
        "size": side,
        "predicted": predicted,
        "classes": labels,
        "shape": list(small.shape[1:]),
        "maps": rounded(small),
        "upsampled": rounded(large[:, ::STEP, ::STEP]),
    }


def main():
    warnings.simplefilter("ignore")
    cases = {name: case(name, *arguments) for name, arguments in CASES.items()}
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(found)}" for name, found in cases.items())
    pathlib.Path(__file__).with_suffix(".json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
