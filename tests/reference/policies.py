"""The tables of torchvision's policies, and the boxes of its CutMix: policies.json."""
import json
import pathlib

import torch
from torchvision.transforms import autoaugment, v2

HERE = pathlib.Path(__file__).parent
SIZES = [(224, 224), (60, 90), (32, 32), (299, 176)]


def table(space):
    """Operation → [magnitudes, signed]; a single magnitude has no strengths."""
    return {name: [magnitudes.double().reshape(-1).tolist(), signed] for name, (magnitudes, signed) in space.items()}


def spaces():
    for height, width in SIZES:
        for bins in [10, 31, 7]:
            size = (height, width)
            common = {"size": size, "bins": bins}
            if bins == 10:
                yield {"policy": "auto_augment", **common,
                       "table": table(autoaugment.AutoAugment()._augmentation_space(bins, size))}
                yield {"policy": "augmix", **common,
                       "table": table(autoaugment.AugMix()._augmentation_space(bins, size))}
            yield {"policy": "rand_augment", **common,
                   "table": table(autoaugment.RandAugment()._augmentation_space(bins, size))}
            yield {"policy": "trivial_augment_wide", **common,
                   "table": table(autoaugment.TrivialAugmentWide()._augmentation_space(bins))}


def pairs(policy):
    return [[[name, p, index or 0] for name, p, index in pair] for pair in autoaugment.AutoAugment(policy).policies]


def boxes():
    """CutMix's box and corrected lambda, with its random numbers replaced by given ones."""
    cutmix = v2.CutMix(num_classes=2)
    original = torch.randint
    for (height, width) in [(224, 224), (30, 44)]:
        for lam in [0.0, 0.1, 0.5, 0.83, 0.9999, 1.0]:
            for x, y in [(0, 0), (width // 2, height // 2), (width - 1, 3), (width - 1, height - 1)]:
                cutmix._dist.sample = lambda *_: torch.tensor([lam], dtype=torch.float64)
                answers = iter([x, y])
                torch.randint = lambda *_, **__: torch.tensor([next(answers)])
                found = cutmix.make_params([torch.zeros(2, 3, height, width)])
                torch.randint = original
                yield {"size": [height, width], "lambda": lam, "center": [x, y], "box": found["box"],
                       "adjusted": found["lam_adjusted"]}


lines = ["{", '"spaces": [', ",\n".join(json.dumps(space) for space in spaces()), "],", '"policies": {',
         ",\n".join(f'"{policy.value}": {json.dumps(pairs(policy))}' for policy in autoaugment.AutoAugmentPolicy),
         "},", '"boxes": [', ",\n".join(json.dumps(box) for box in boxes()), "]", "}"]
(HERE / "policies.json").write_text("\n".join(lines) + "\n")
json.loads((HERE / "policies.json").read_text())
