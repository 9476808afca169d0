"""torchvision's mixup and cutmix of a small batch with given parameters: mix_batch.json.

Images are sin(0), sin(1), … as [3, 2, 5, 4], targets the classes 2, 0, 1 of 4; see crates/ml-core/src/loader/mix.rs.
"""
import json
import pathlib

import torch
from torchvision.transforms import v2

images = torch.arange(3 * 2 * 5 * 4, dtype=torch.float32).view(3, 2, 5, 4).sin()
targets = torch.tensor([2, 0, 1])
cases = []
for name, lam, box in [
    ("mixup", 0.3, None),
    ("mixup", 0.9, None),
    ("cutmix", 1 - 6 / 20, (1, 2, 3, 5)),
    ("cutmix", 1 - 4 / 20, (0, 0, 4, 1)),
]:
    transform = v2.MixUp(num_classes=4) if name == "mixup" else v2.CutMix(num_classes=4)
    params = {"lam": lam} if box is None else {"box": box, "lam_adjusted": lam}
    params |= {"labels": targets, "batch_size": 3}
    mixed = transform.transform(images.clone(), params)
    probabilities = transform.transform(targets, params)
    cases.append(
        {"name": name, "lambda": lam, "box": box, "images": mixed.flatten().tolist(), "targets": probabilities.flatten().tolist()}
    )
(pathlib.Path(__file__).parent / "mix_batch.json").write_text(json.dumps({"cases": cases}) + "\n")
