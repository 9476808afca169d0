"""Balanced accuracy, Cohen's kappa and Matthews correlation of scikit-learn, with odd matrices.

Rewrites agreement.json beside itself. Made with scikit-learn 1.9 and NumPy 2.
"""

import json
import math
import warnings
from pathlib import Path

import numpy as np
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, matthews_corrcoef

warnings.filterwarnings("ignore")


def case(name, rows):
    rows = np.asarray(rows)
    truth, guess = np.nonzero(rows)
    counts = rows[truth, guess]
    truth, guess = np.repeat(truth, counts), np.repeat(guess, counts)
    kappa = cohen_kappa_score(truth, guess)
    return {
        "name": name,
        "rows": rows.tolist(),
        "balanced_accuracy": float(balanced_accuracy_score(truth, guess)),
        "kappa": None if math.isnan(kappa) else float(kappa),
        "mcc": float(matthews_corrcoef(truth, guess)),
    }


rng = np.random.default_rng(1)
cases = [
    case("two classes", [[12, 3], [1, 15]]),
    case("seven classes", rng.integers(0, 9, (7, 7)) + np.diag(rng.integers(0, 40, 7))),
    case("a class without samples", [[5, 1, 0], [0, 0, 0], [1, 2, 9]]),
    case("a class never predicted", [[5, 0, 2], [3, 0, 1], [1, 0, 9]]),
    case("one class in targets and predictions", [[0, 0, 0], [0, 8, 0], [0, 0, 0]]),
    case("one class in targets", [[0, 0, 0], [2, 8, 1], [0, 0, 0]]),
    case("one class in predictions", [[0, 4, 0], [0, 8, 0], [0, 1, 0]]),
    case("one sample, right", [[1, 0], [0, 0]]),
    case("one sample, wrong", [[0, 1], [0, 0]]),
    case("all wrong", [[0, 9], [7, 0]]),
    case("chance", [[4, 8], [8, 16]]),
    case("large and uneven", [[123456, 1, 17], [2, 3, 0], [45, 0, 9999]]),
]
path = Path(__file__).with_suffix(".json")
path.write_text(json.dumps(cases).replace('{"name"', '\n{"name"') + "\n")
