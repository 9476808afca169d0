"""TorchScript files as users bring them, and what Python makes of them.

Usage: torchscript.py make FOLDER CLASSES
       torchscript.py cost FILE
       torchscript.py predict CHECKPOINT SCRIPT IMAGE

`make` writes net.pt (a scripted network with batch norm, dropout, a frozen layer and a buffer that forward assigns), files
that cannot be trained or are none, and prints of net.pt the names and shapes of the state dict, the names of its parameters,
the logits of an image made by a formula, in evaluation and in training (dropout from seed 5), the gradients and the buffers
after the training pass. `cost` writes a network with attention and prints what PyTorch's own counter says of it. `predict` is net.pt with the weights of a checkpoint of ours on an image resized to 16 x 16.
"""
import json
import pathlib
import sys
import warnings

import torch
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(1)
warnings.simplefilter("ignore")


class Block(nn.Module):
    def __init__(self, channels, output):
        super().__init__()
        self.conv = nn.Conv2d(channels, output, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(output)

    def forward(self, x):
        return F.relu(self.norm(self.conv(x)))


class Net(nn.Module):
    """Small, with what modules have: submodules, a list of them, lone parameters, tied ones, buffers of both kinds."""

    def __init__(self, classes):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(12))
        self.register_buffer("seen", torch.full((12,), 0.5))
        self.stem = Block(3, 8)
        self.stem.conv.weight.requires_grad_(False)
        self.blocks = nn.ModuleList([Block(8, 8), Block(8, 12)])
        self.again = self.blocks[0]
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(12, classes)

    def forward(self, x):
        x = F.max_pool2d(self.stem(x), 2)
        for block in self.blocks:
            x = block(x)
        x = x.mean([2, 3]) * self.scale
        # The pass back needs what the buffer held here.
        x = x + x * self.seen
        if self.training:
            self.seen = self.seen * 0.5 + x.detach().mean(0) * 0.5
        return self.head(self.dropout(x))


class Switchless(nn.Module):
    """Norms without running statistics take those of the batch in either mode."""

    def __init__(self, classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.InstanceNorm2d(8)
        self.batch = nn.BatchNorm2d(8, track_running_stats=False)
        self.head = nn.Linear(8, classes)

    def forward(self, x):
        return self.head(self.batch(self.norm(self.conv(x))).mean([2, 3]))


class Wrapper(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)


class Two(Net):
    def forward(self, x):
        logits = self.head(self.stem(x).mean([2, 3]).repeat(1, 2)[:, :12])
        return logits, logits


class Map(Net):
    def forward(self, x):
        return self.blocks[1](self.stem(x))


class Detached(Net):
    def forward(self, x):
        return self.head(self.stem(x).mean([2, 3]).repeat(1, 2)[:, :12]).detach()


class Moody(Net):
    """Fails once it has been used more often than a look at the start does."""

    def __init__(self, classes):
        super().__init__(classes)
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x):
        if self.training:
            self.count += 1
        if self.count.item() > 2:
            raise ValueError("had enough")
        return self.head(self.stem(x).mean([2, 3]).repeat(1, 2)[:, :12])


class NoNumbers(Net):
    """Gives NaN, for images that are not black."""

    def forward(self, x):
        logits = self.head(self.stem(x).mean([2, 3]).repeat(1, 2)[:, :12])
        return torch.where(x.abs().sum() > 0, torch.full_like(logits, float("nan")), logits)


class Attentive(nn.Module):
    """Patches that look at each other."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 24, 4, stride=4)
        self.up = nn.ConvTranspose2d(24, 24, 2, stride=2, groups=4)
        self.attention = nn.MultiheadAttention(24, 3, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(24, 40), nn.GELU(), nn.Linear(40, 24))
        self.head = nn.Linear(24, 5)

    def forward(self, x):
        x = self.up(self.patches(x)).flatten(2).transpose(1, 2)
        x = x + self.attention(x, x, x)[0]
        x = x + self.mlp(x)
        return self.head((x @ x.transpose(1, 2) @ x).mean(1))


def image():
    return (torch.arange(2 * 3 * 16 * 16, dtype=torch.float64) / 10).sin().float().view(2, 3, 16, 16)


def make(folder, classes):
    torch.manual_seed(3)
    net = torch.jit.script(Net(classes))
    net.save(str(folder / "net.pt"))
    torch.jit.script(Switchless(classes)).save(str(folder / "switchless.pt"))
    traced = torch.jit.trace(Net(classes).eval(), image())
    traced.save(str(folder / "traced.pt"))
    torch.jit.script(Wrapper(traced)).save(str(folder / "wrapped.pt"))
    torch.jit.freeze(torch.jit.script(Net(classes).eval())).save(str(folder / "frozen.pt"))
    torch.jit.script(Net(classes + 1)).save(str(folder / "classes.pt"))
    torch.jit.script(Two(classes)).save(str(folder / "two.pt"))
    torch.jit.script(Map(classes)).save(str(folder / "map.pt"))
    torch.jit.script(Detached(classes)).save(str(folder / "detached.pt"))
    torch.jit.script(Moody(classes)).save(str(folder / "moody.pt"))
    torch.jit.script(NoNumbers(classes)).save(str(folder / "nan.pt"))
    torch.save(Net(classes).state_dict(), folder / "weights.pt")
    (folder / "garbage.pt").write_bytes(b"no program at all")
    (folder / "cut.pt").write_bytes((folder / "net.pt").read_bytes()[:5000])

    net = torch.jit.load(folder / "net.pt")
    state = [[name, list(tensor.shape)] for name, tensor in net.state_dict().items()]
    eval_logits = net.eval()(image()).flatten().tolist()
    net.train()
    torch.manual_seed(5)
    with torch.jit.optimized_execution(False):
        logits = net(image())
        logits.square().sum().backward()
    print(json.dumps({
        "state": state,
        "parameters": [name for name, _ in net.named_parameters()],
        "eval_logits": eval_logits,
        "train_logits": logits.flatten().tolist(),
        "gradients": {n: p.grad.double().abs().sum().item() for n, p in net.named_parameters() if p.grad is not None},
        "buffers": {n: b.double().sum().item() for n, b in net.named_buffers()},
    }))


def cost(file):
    from torch.utils.flop_counter import FlopCounterMode

    net = Attentive()
    torch.jit.script(net).save(file)
    counter = FlopCounterMode(display=False)
    with counter:
        net(image()[:1])
    print(json.dumps({
        # It counts a multiplication and an addition as two.
        "multiply_adds": counter.get_total_flops() // 2,
        "parameters": sum(p.numel() for p in net.parameters()),
    }))


def predict(checkpoint, script, path):
    from PIL import Image
    from torchvision.transforms import functional as T

    checkpoint = torch.load(checkpoint, weights_only=True)
    net = torch.jit.load(script)
    net.load_state_dict(checkpoint["model_state_dict"], strict=True)
    net.eval()
    image = T.to_tensor(T.resize(Image.open(path).convert("RGB"), [16, 16]))
    with torch.no_grad():
        probabilities = net(image[None]).softmax(1)[0]
    best = probabilities.argmax().item()
    print(json.dumps({"class": checkpoint["classes"][best], "probability": probabilities[best].item()}))


if sys.argv[1] == "make":
    make(pathlib.Path(sys.argv[2]), int(sys.argv[3]))
elif sys.argv[1] == "cost":
    cost(sys.argv[2])
else:
    predict(*sys.argv[2:])
