"""torchvision's ToTensor and Normalize on every value of every channel: normalize.json."""
import json
import pathlib

import numpy as np
from PIL import Image
from torchvision.transforms import functional as F

HERE = pathlib.Path(__file__).parent
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]

ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
scaled = F.to_tensor(Image.fromarray(ramp))
normalized = F.normalize(scaled, MEAN, STD)
out = {
    "mean": MEAN,
    "std": STD,
    "scaled": scaled[0].flatten().tolist(),
    "normalized": normalized.flatten(1).tolist(),
}
(HERE / "normalize.json").write_text(json.dumps(out) + "\n")
