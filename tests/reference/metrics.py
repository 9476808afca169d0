"""Figures of scikit-learn for scores with rare, absent and never predicted classes and with ties.

Rewrites metrics.json beside itself. Made with scikit-learn 1.7 or later and NumPy 2.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.metrics import classification_report, confusion_matrix, log_loss, top_k_accuracy_score


def case(name, classes, samples, present, seed, coarse=False):
    rng = np.random.default_rng(seed)
    truth = rng.choice(present, size=samples)
    scores = rng.normal(size=(samples, classes)).astype(np.float32)
    scores[np.arange(samples), truth] += 1.5
    if coarse:
        # Halves: many scores of a sample are equal, and the hits depend on how ties are broken.
        scores = np.round(scores * 2) / 2
    prediction = scores.argmax(axis=1)  # of equal scores the first
    labels = np.arange(classes)
    report = classification_report(
        truth, prediction, labels=labels, output_dict=True, zero_division=0
    )
    k = min(5, classes)
    if coarse:
        # scikit-learn gives the last of equal scores preference; turned around, it is the first.
        hits = top_k_accuracy_score(
            classes - 1 - truth, scores[:, ::-1], k=k, labels=labels, normalize=False
        ) if classes > k else samples
    else:
        hits = (
            top_k_accuracy_score(truth, scores, k=k, labels=labels, normalize=False)
            if classes > k
            else samples
        )
    softmax = np.exp(scores.astype(np.float64))
    softmax /= softmax.sum(axis=1, keepdims=True)
    figures = lambda f: [f["precision"], f["recall"], f["f1-score"], f["support"]]
    return {
        "name": name,
        "scores": [[round(float(s), 6) for s in row] for row in scores],
        "truth": truth.tolist(),
        "confusion_matrix": confusion_matrix(truth, prediction, labels=labels).tolist(),
        "classes": [figures(report[str(c)]) for c in labels],
        "macro": figures(report["macro avg"]),
        "weighted": figures(report["weighted avg"]),
        "accuracy": float((truth == prediction).mean()),
        "top_5_hits": int(hits),
        "log_loss": float(log_loss(truth, softmax, labels=labels)),
    }


cases = [
    case("two classes", 2, 30, [0, 1], 1),
    case("seven classes", 7, 60, list(range(7)), 2),
    case("classes without samples", 9, 40, [0, 2, 3, 7], 3),
    case("ties", 8, 60, list(range(8)), 4, coarse=True),
]
path = Path(__file__).with_suffix(".json")
path.write_text(json.dumps(cases).replace('{"name"', '\n{"name"') + "\n")
