"""Label issues that cleanlab finds in generated probabilities.

Rewrites label_issues.json beside itself. Made with cleanlab 2.9 and NumPy 2.

cleanlab sorts with NumPy's default, whose order of equal values differs between processors, and with
it the issues. Here all its sorts are stable.
"""

import json
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402

default_argsort = np.argsort
np.argsort = lambda values, *rest, **options: default_argsort(
    values, *rest, **{**options, "kind": "stable"}
)

from cleanlab.count import compute_confident_joint, get_confident_thresholds  # noqa: E402
from cleanlab.filter import find_label_issues  # noqa: E402


def case(name, classes, samples, present, noise, seed, signal=3.0, least=1, fraction=1.0,
         weights=None, scale=1000):
    rng = np.random.default_rng(seed)
    truth = rng.choice(present, size=samples, p=weights)
    logits = rng.normal(size=(samples, classes))
    logits[np.arange(samples), truth] += signal
    exact = np.exp(logits)
    exact /= exact.sum(axis=1, keepdims=True)
    units = np.round(exact * scale).astype(int)
    # What the Rust side reads is float32; cleanlab gets the same values as float64.
    probabilities = (units / scale).astype(np.float32).astype(np.float64)
    labels = truth.copy()
    planted = np.sort(rng.choice(samples, int(noise * samples), replace=False))
    for i in planted:
        labels[i] = rng.choice([c for c in present if c != truth[i]])
    thresholds = get_confident_thresholds(labels, probabilities)
    has = [bool((labels == c).any()) for c in range(classes)]
    issues = find_label_issues(
        labels,
        probabilities,
        return_indices_ranked_by="self_confidence",
        min_examples_per_class=least,
        frac_noise=fraction,
        n_jobs=1,
    )
    return {
        "name": name,
        "num_classes": classes,
        "probabilities": units.ravel().tolist(),
        "scale": scale,
        "labels": labels.tolist(),
        "planted": planted.tolist(),
        "min_examples_per_class": least,
        "frac_noise": fraction,
        "thresholds": [float(t) if h else None for t, h in zip(thresholds, has)],
        "joint": compute_confident_joint(labels, probabilities).tolist(),
        "issues": issues.tolist(),
        "suggested": probabilities.argmax(axis=1)[issues].tolist(),
    }


cases = [
    case("two classes", 2, 200, [0, 1], 0.1, 1, signal=2.0, scale=10**5),
    case("ten classes, 5 % planted", 10, 300, list(range(10)), 0.05, 2, signal=5.0, scale=10**5),
    case("ties, weak model", 10, 150, list(range(10)), 0.1, 3, signal=1.5),
    case("classes without samples", 6, 150, [0, 2, 3], 0.1, 4, scale=10**5),
    case("uneven classes", 5, 200, list(range(5)), 0.15, 5, weights=[0.6, 0.25, 0.1, 0.04, 0.01],
         scale=10**5),
    case("half of the issues", 4, 200, list(range(4)), 0.2, 6, fraction=0.5),
    case("many examples to be left", 4, 120, list(range(4)), 0.3, 7, least=25, signal=1.0),
    case("many classes, ties", 24, 240, list(range(24)), 0.1, 9, signal=4.5, scale=100),
    case("no signal", 3, 150, [0, 1, 2], 0.0, 8, signal=0.0),
]
path = Path(__file__).with_suffix(".json")
path.write_text(json.dumps(cases, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")
