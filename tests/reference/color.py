"""torchvision's colour operations on PIL images: color.json and color/<case>.png."""
import json
import pathlib
import shutil

from PIL import Image
from torchvision.transforms import functional as F

HERE = pathlib.Path(__file__).parent
IMAGES = HERE.parent / "data" / "images"
OUT = HERE / "color"

shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir()
image = Image.open(IMAGES / "image.png").convert("RGB")
cases = []


def case(operation, function, **parameters):
    name = f"{len(cases):02}_{operation}.png"
    function(image).save(OUT / name, optimize=True)
    cases.append({"operation": operation, **parameters, "result": name})


for operation, function in {
    "brightness": F.adjust_brightness,
    "contrast": F.adjust_contrast,
    "saturation": F.adjust_saturation,
}.items():
    for factor in [0.0, 0.37, 1.0, 1.6]:
        case(operation, lambda im: function(im, factor), factor=factor)
for factor in [-0.5, -0.13, 0.0, 0.002, 0.25, 0.5]:
    case("hue", lambda im: F.adjust_hue(im, factor), factor=factor)
case("grayscale", lambda im: F.rgb_to_grayscale(im, 3))
(HERE / "color.json").write_text(json.dumps({"cases": cases}, indent=1) + "\n")
