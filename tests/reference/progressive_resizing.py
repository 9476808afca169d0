"""Writes progressive_resizing.json: the size of training images in each epoch, from the description
of MosaicML Composer's ProgressiveResizing, in exact fractions: the scale is initial_scale until
delay_fraction of the training, then grows linearly, and is 1 from 1 - finetune_fraction on; sides
are rounded to multiples of size_increment, half up.

Run: .venv/bin/python tests/reference/progressive_resizing.py
"""

import json
from fractions import Fraction
from math import floor
from pathlib import Path


def sizes(config, full, num_epochs):
    initial, delay, finetune = (
        Fraction(str(config[key])) for key in ("initial_scale", "delay_fraction", "finetune_fraction")
    )
    step, found = config["size_increment"], []
    for epoch in range(num_epochs):
        over = Fraction(epoch, num_epochs)
        if over < delay:
            scale = initial
        elif over >= 1 - finetune:
            scale = Fraction(1)
        else:
            scale = initial + (1 - initial) * (over - delay) / (1 - finetune - delay)
        if scale == 1:
            found.append(list(full))
            continue
        multiples = [max(1, floor(side * scale / step + Fraction(1, 2))) for side in full]
        found.append([min(full_side, step * m) for full_side, m in zip(full, multiples)])
    return found


def main():
    cases = []
    for initial, delay, finetune, step, full, epochs in [
        (0.5, 0.5, 0.2, 4, (224, 224), 20),
        (0.5, 0.5, 0.2, 4, (32, 32), 10),
        (0.25, 0.0, 0.1, 32, (224, 224), 90),
        (0.7, 0.3, 0.3, 8, (180, 250), 16),
        (0.5, 0.0, 0.0, 1, (101, 99), 7),
        (1.0, 0.5, 0.2, 4, (30, 30), 5),
        (0.1, 0.4, 0.6, 16, (64, 64), 5),
        (0.5, 0.5, 0.2, 4, (16, 16), 1),
    ]:
        config = {
            "initial_scale": initial,
            "delay_fraction": delay,
            "finetune_fraction": finetune,
            "size_increment": step,
        }
        cases.append({"config": config, "full": full, "sizes": sizes(config, full, epochs)})
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main()
