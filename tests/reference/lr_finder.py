"""Learning-rate range tests on synthetic losses, in float64. Prints lr_finder.json: the losses of the steps; their
exponential mean with bias correction up to the step at which it exceeds 4 times its minimum; the learning rate at which
numpy's gradient of it over the logarithm of the learning rate is least, null where none is negative; and a tenth of the
one at which it is least. For both the first 10 and the last 5 points are left out."""
import json

import numpy as np


def rates(count):
    return 1e-7 * (10 / 1e-7) ** (np.arange(count) / (count - 1))


def falling(lr, at, depth):
    """A sigmoid of log lr that falls by `depth` around `at`."""
    return depth / (1 + (lr / at) ** 0.9)


curves = {
    "usual": (100, lambda lr: 0.3 + falling(lr, 3e-3, 2.0) + (lr / 0.5) ** 2),
    "early": (100, lambda lr: 0.1 + falling(lr, 1e-5, 4.0) + (lr / 1e-2) ** 3),
    "short": (30, lambda lr: 0.5 + falling(lr, 1e-2, 1.5) + 0.02 * np.sin(np.arange(len(lr)) * 1.7)),
    "explodes": (60, lambda lr: 0.7 + falling(lr, 1e-4, 1.0) + (lr / 0.05) ** 4),
    "rises": (40, lambda lr: 1 + np.log10(lr / 1e-7) / 20),
}
cases = []
for name, (count, curve) in curves.items():
    lr = rates(count)
    losses = curve(lr)
    mean, smoothed, diverged = 0.0, [], False
    for step, loss in enumerate(losses):
        mean = 0.98 * mean + 0.02 * loss
        smoothed.append(mean / (1 - 0.98 ** (step + 1)))
        if smoothed[-1] > 4 * min(smoothed):
            diverged = True
            break
    kept = slice(10, len(smoothed) - 5)
    x, y = lr[: len(smoothed)][kept], np.array(smoothed)[kept]
    slopes = np.gradient(y, np.log(x))
    steepest = float(x[slopes.argmin()]) if slopes.min() < 0 else None
    cases.append(
        {
            "name": name,
            "losses": losses.tolist(),
            "smoothed": smoothed,
            "diverged": diverged,
            "steepest": steepest,
            "minimum_tenth": float(x[y.argmin()] / 10),
        }
    )
print(json.dumps(cases))
