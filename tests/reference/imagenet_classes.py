"""ImageNet-1K's classes in the order of torchvision's logits, as the table that is compiled in; prints CSV.

Columns: the WordNet id (the folder's name in ImageNet), the name as torchvision's metadata has it. The ids are no part of
torchvision: they come from a file with one a line, such as imagenet_synsets.txt in the wheel of timm (timm/data/_info), and
must be in ascending order, as the classes are. Usage: imagenet_classes.py SYNSETS > crates/ml-core/src/weights/imagenet.csv
"""

import re
import sys
from pathlib import Path

from torchvision.models import ResNet50_Weights


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: imagenet_classes.py SYNSETS")
    synsets = Path(sys.argv[1]).read_text().split()
    names = ResNet50_Weights.DEFAULT.meta["categories"]
    assert len(synsets) == len(names) == len(set(names)) == 1000
    assert synsets == sorted(set(synsets)) and all(re.fullmatch(r"n\d{8}", synset) for synset in synsets)
    assert not any("," in name or '"' in name for name in names)
    print("synset,name")
    for synset, name in zip(synsets, names):
        print(f"{synset},{name}")


if __name__ == "__main__":
    main()
