"""Squared Mahalanobis distances to the nearest class by NumPy, with the shrinkage of scikit-learn.

Rewrites mahalanobis.json beside itself. Made with scikit-learn 1.9 and NumPy 2.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.covariance import ledoit_wolf


def case(name, dim, classes, present, samples, seed, queries=12):
    rng = np.random.default_rng(seed)
    targets = rng.choice(present, size=samples)
    centers = rng.normal(size=(classes, dim)) * 3
    mixing = rng.normal(size=(dim, dim)) / np.sqrt(dim)

    def write(values):
        return np.round(values, 4).astype(np.float32)

    embeddings = write(centers[targets] + rng.normal(size=(samples, dim)) @ mixing)
    asked = write(rng.normal(size=(queries, dim)) * 3)
    x, q = embeddings.astype(np.float64), asked.astype(np.float64)
    used = [c for c in range(classes) if (targets == c).any()]
    means = {c: x[targets == c].mean(axis=0) for c in used}
    residuals = x - np.stack([means[t] for t in targets])
    covariance, _ = ledoit_wolf(residuals, assume_centered=True)
    inverse = np.linalg.inv(covariance)
    distances = [np.einsum("nd,de,ne->n", q - means[c], inverse, q - means[c]) for c in used]
    flat = lambda values: [round(float(v), 4) for v in values.ravel()]
    return {
        "name": name,
        "dim": dim,
        "num_classes": classes,
        "embeddings": flat(embeddings),
        "targets": targets.tolist(),
        "queries": flat(asked),
        "scores": np.min(distances, axis=0).tolist(),
    }


cases = [
    case("two classes", 3, 2, [0, 1], 60, 1),
    case("more dimensions than samples", 30, 3, [0, 1, 2], 20, 4, queries=9),
    case("classes without samples", 4, 6, [1, 4], 40, 5),
    case("one class present", 4, 3, [2], 30, 6),
    case("one dimension", 1, 2, [0, 1], 25, 7),
]
path = Path(__file__).with_suffix(".json")
path.write_text(json.dumps(cases).replace('{"name"', '\n{"name"') + "\n")
