"""torchvision's transformers made small, with all their kinds of dropout; prints JSON.

Usage: transformers.py. `networks`: what network.py prints, of a network of each kind; Swin's image is neither square
nor a multiple of anything. `positions`: what `interpolate_embeddings` makes of embeddings of a formula.
"""
import json

import torch
from torchvision.models import SwinTransformer, VisionTransformer
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2
from torchvision.models.vision_transformer import interpolate_embeddings

from network import figures

torch.set_num_threads(1)
CLASSES = 5
DROPOUTS = {"dropout": 0.1, "attention_dropout": 0.2, "num_classes": CLASSES}


def vit():
    return VisionTransformer(
        image_size=24, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=24, **DROPOUTS
    )


def swin(window, **version):
    return SwinTransformer(
        patch_size=[4, 4],
        embed_dim=32,
        depths=[2, 2, 1, 2],
        num_heads=[1, 2, 4, 8],
        window_size=[window, window],
        stochastic_depth_prob=0.3,
        **version,
        **DROPOUTS,
    )


def swin_v2():
    return swin(8, block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2)


# PyTorch's attention lays its output out by tokens first and images second, in which order dropout is then drawn; with a
# single image that is every layout's order.
networks = {}
for name, build, batch, height, width in [
    ("vit", vit, 1, 24, 24),
    ("swin", lambda: swin(7), 2, 50, 75),
    ("swin_v2", swin_v2, 2, 50, 75),
]:
    torch.manual_seed(7)
    case = figures(build(), CLASSES, height, width, batch)
    networks[name] = {"height": height, "width": width, "figures": case}

positions = []
for before, after in [(3, 5), (4, 2)]:
    tensor = (torch.arange((1 + before**2) * 16, dtype=torch.float64) / 7).sin().float().view(1, -1, 16)
    state = interpolate_embeddings(after * 8, 8, {"encoder.pos_embedding": tensor})
    values = state["encoder.pos_embedding"].flatten().tolist()
    positions.append({"from": before, "to": after, "values": values})

print(json.dumps({"networks": networks, "positions": positions}))
