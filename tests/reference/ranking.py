"""One-vs-rest ROC-AUC, average precision and precision-recall curves of scikit-learn.

Rewrites ranking.json beside itself. Made with scikit-learn 1.9 and NumPy 2.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score


def mean(figures):
    defined = [f for f in figures if f is not None]
    return float(np.mean(defined)) if defined else None


def curve(positive, score):
    """Descending, one point for each distinct score of the positives."""
    if not positive.any():
        return []
    precision, recall, thresholds = precision_recall_curve(positive, score)
    own = set(score[positive].tolist())
    points = zip(thresholds.tolist(), precision[:-1].tolist(), recall[:-1].tolist())
    return [p for p in points if p[0] in own][::-1]


def case(name, classes, samples, present, seed, decimals=4):
    rng = np.random.default_rng(seed)
    targets = rng.choice(present, size=samples)
    logits = rng.normal(size=(samples, classes))
    logits[np.arange(samples), targets] += 1.0
    scores = np.exp(logits)
    scores /= scores.sum(axis=1, keepdims=True)
    scores = np.round(scores, decimals).astype(np.float32)
    auc, precision, curves = [], [], []
    for c in range(classes):
        positive = targets == c
        both = positive.any() and not positive.all()
        auc.append(float(roc_auc_score(positive, scores[:, c])) if both else None)
        precision.append(
            float(average_precision_score(positive, scores[:, c])) if positive.any() else None
        )
        curves.append(curve(positive, scores[:, c]))
    return {
        "name": name,
        "scores": [[round(float(s), decimals) for s in row] for row in scores],
        "targets": targets.tolist(),
        "roc_auc": auc,
        "average_precision": precision,
        "macro_roc_auc": mean(auc),
        "macro_average_precision": mean(precision),
        "curves": curves,
    }


cases = [
    case("two classes", 2, 80, [0, 1], 1),
    case("five classes", 5, 100, list(range(5)), 2),
    case("ties", 4, 120, list(range(4)), 3, decimals=1),
    case("classes without samples", 6, 50, [0, 2, 5], 4),
    case("one class present", 3, 20, [1], 5),
    case("one sample", 3, 1, [2], 6),
]
path = Path(__file__).with_suffix(".json")
path.write_text(json.dumps(cases).replace('{"name"', '\n{"name"') + "\n")
