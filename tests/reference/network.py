"""torchvision's network of the given name (or own_networks.py's) from seed 7, as figures that tell it from another; prints
JSON.

Usage: network.py NAME CLASSES SIZE [NAME CLASSES SIZE]...; a line is printed for each network. NAME:KEY=VALUE,... gives
the network more arguments, their values in JSON. State: names, shapes and digests of the initial weights; modules: names and kinds. Then every
tensor that begins as one value everywhere (norms, biases, statistics, scales) is moved, so that it counts, and the
network sees an image made by a formula: what its head is given and logits in evaluation mode, the latter also in bf16,
gradients of a cross entropy there, and the logits of a training pass (main, then auxiliary heads) with dropout drawn from seed 5.

Sums over many threads end in other bits than those of one: whoever compares runs both sides with as many.
"""
import json
import math
import sys
import warnings

import torch
import torchvision

import own_networks

# In own_networks.py.
OWN = ("resnet9", "resnet18_cifar", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110")
# Elements that are summed at once, so that the sums of a VGG's hundred million stay in the processor's cache.
CHUNK = 1 << 16
WAVE = torch.arange(CHUNK, dtype=torch.float64).cos()


def digest(tensor):
    """Sum, sum of magnitudes, and sum weighted by cos(i) * cos(k) of place i of the k-th chunk, in float64."""
    sums = [0.0, 0.0, 0.0]
    for k, chunk in enumerate(tensor.detach().flatten().split(CHUNK)):
        chunk = chunk.double()
        sums[0] += chunk.sum().item()
        sums[1] += chunk.abs().sum().item()
        sums[2] += chunk.dot(WAVE[: chunk.numel()]).item() * math.cos(k)
    return sums


def build(name, classes, size):
    torch.manual_seed(7)
    name, _, more = name.partition(":")
    options = {"num_classes": classes}
    for item in filter(None, more.split(",")):
        key, _, value = item.partition("=")
        options[key] = json.loads(value)
    if name.startswith("vit_"):
        options["image_size"] = size
    if name.startswith("maxvit"):
        options["input_size"] = (size, size)
    home = own_networks if name in OWN else torchvision.models
    return getattr(home, name)(**options)


def move(net):
    with torch.no_grad():
        for tensor in net.state_dict().values():
            if tensor.is_floating_point() and tensor.min() == tensor.max():
                wave = torch.arange(tensor.numel(), dtype=torch.float64).sin() * 0.05
                tensor += wave.view_as(tensor).float()


KINDS = (
    torch.nn.Conv2d,
    torch.nn.Linear,
    torch.nn.BatchNorm2d,
    torch.nn.LayerNorm,
    torch.nn.MultiheadAttention,
)


def modules(net):
    """Name and kind of every module that has parameters or buffers, or contains one that has."""
    kind = lambda module: next((kind.__name__ for kind in KINDS if isinstance(module, kind)), "Other")
    return [[name, kind(module)] for name, module in net.named_modules() if module.state_dict()]


def head(net):
    """The first module behind the pooling."""
    name = next(name for name in ("classifier", "fc", "head", "heads", "linear") if hasattr(net, name))
    module = getattr(net, name)
    is_pooling = isinstance(module, torch.nn.Sequential) and isinstance(module[0], torch.nn.AdaptiveAvgPool2d)
    return module[2] if is_pooling else module


def figures(net, classes, height, width, batch=2):
    """What is compared of a network fresh from its seed; at most two images."""
    state = [{"name": n, "shape": list(t.shape), "digest": digest(t)} for n, t in net.state_dict().items()]
    parameters = [n for n, _ in net.named_parameters()]
    move(net)
    wave = (torch.arange(batch * 3 * height * width, dtype=torch.float64) / 10).sin()
    images = wave.float().view(batch, 3, height, width)
    targets = torch.tensor([3 % classes, 8 % classes][:batch])

    embeddings = []
    hook = head(net).register_forward_pre_hook(lambda _, inputs: embeddings.append(inputs[0].detach()))
    net.eval()
    logits = net(images)
    hook.remove()
    torch.nn.functional.cross_entropy(logits, targets).backward()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        bf16_logits = net(images)
    # Auxiliary heads have no part in evaluation.
    gradients = {n: digest(p.grad) for n, p in net.named_parameters() if p.grad is not None}

    net.train()
    torch.manual_seed(5)
    with torch.no_grad():
        outputs = net(images)
        outputs = [outputs] if isinstance(outputs, torch.Tensor) else [o for o in outputs if o is not None]
    return {
        "batch": batch,
        "state": state,
        "parameters": parameters,
        "modules": modules(net),
        "num_features": embeddings[0].shape[1],
        "embedding": digest(embeddings[0]),
        "eval_logits": logits.flatten().tolist(),
        "bf16_logits": bf16_logits.flatten().tolist(),
        "gradients": gradients,
        "train_logits": torch.cat([o.flatten() for o in outputs]).tolist(),
    }


def main():
    if len(sys.argv) < 4 or len(sys.argv) % 3 != 1:
        sys.exit("usage: network.py NAME CLASSES SIZE [NAME CLASSES SIZE]...")
    warnings.simplefilter("ignore")
    arguments = iter(sys.argv[1:])
    for name, classes, size in zip(arguments, arguments, arguments):
        classes, size = int(classes), int(size)
        print(json.dumps(figures(build(name, classes, size), classes, size, size)))


if __name__ == "__main__":
    main()
