"""The networks of our own that have a published definition, in PyTorch; `network.py` takes them beside torchvision's."""
import torch
import torchvision
from torch import nn


def redraw(net):
    """Convolutions begin as He et al.'s."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def resnet18_cifar(num_classes):
    """torchvision's resnet18 with the beginning of https://github.com/kuangliu/pytorch-cifar."""
    seed = torch.initial_seed()
    net = torchvision.models.resnet18(num_classes=num_classes)
    net.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    net.maxpool = nn.Identity()
    # As if the first convolution had been this one from the start.
    torch.manual_seed(seed)
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.reset_parameters()
    redraw(net)
    return net


class Unit(nn.Module):
    def __init__(self, channels, out):
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(out)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)))


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.res1 = Unit(channels, channels)
        self.res2 = Unit(channels, channels)

    def forward(self, x):
        return x + self.res2(self.res1(x))


class Pooled(Unit):
    def __init__(self, channels, out, residual):
        super().__init__(channels, out)
        self.residual = Residual(out) if residual else nn.Identity()

    def forward(self, x):
        return self.residual(nn.functional.max_pool2d(super().forward(x), 2))


class Resnet9(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.prep = Unit(3, 64)
        self.layer1 = Pooled(64, 128, residual=True)
        self.layer2 = Pooled(128, 256, residual=False)
        self.layer3 = Pooled(256, 512, residual=True)
        self.linear = nn.Linear(512, num_classes, bias=False)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.prep(x))))
        return 0.125 * self.linear(x.amax((2, 3)))


def resnet9(num_classes):
    """That of https://github.com/davidcpage/cifar10-fast, pooled at the end over images of any size."""
    net = Resnet9(num_classes)
    redraw(net)
    return net


class Basic(nn.Module):
    """A block of He et al. 2016 (arXiv:1512.03385) for CIFAR-10; where the channels change, its shortcut takes every second row
    and column and has zeros for the new channels (option A)."""

    def __init__(self, channels, out):
        super().__init__()
        self.more = out - channels
        self.conv1 = nn.Conv2d(channels, out, 3, stride=2 if self.more else 1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)

    def forward(self, x):
        branch = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = x[:, :, ::2, ::2]
            zeros = x.new_zeros(x.shape[0], self.more // 2, *x.shape[2:])
            x = torch.cat([zeros, x, zeros], 1)
        return torch.relu(branch + x)


class CifarResnet(nn.Module):
    def __init__(self, depth, num_classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        stage = lambda channels, out: nn.Sequential(*[Basic(out if i else channels, out) for i in range(depth)])
        self.layer1 = stage(16, 16)
        self.layer2 = stage(16, 32)
        self.layer3 = stage(32, 64)
        self.linear = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(torch.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


def resnet20(num_classes):
    return CifarResnet(3, num_classes)


def resnet32(num_classes):
    return CifarResnet(5, num_classes)


def resnet44(num_classes):
    return CifarResnet(7, num_classes)


def resnet56(num_classes):
    return CifarResnet(9, num_classes)


def resnet110(num_classes):
    return CifarResnet(18, num_classes)
