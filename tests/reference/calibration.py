"""Calibration errors (NumPy), Brier score (scikit-learn) and temperatures (SciPy).

Rewrites calibration.json beside itself. Made with scikit-learn 1.9, SciPy 1.17 and NumPy 2.
"""

import json
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar, root_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import brier_score_loss

LOW, HIGH = 0.05, 20.0


def reliability(confidence, hit, bins):
    edges = np.array([i / bins for i in range(bins + 1)])
    # (lower, upper], as in the authors' program; 0 belongs to the first.
    which = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    rows, ece, mce = [], 0.0, 0.0
    for b in range(bins):
        inside = which == b
        if not inside.any():
            rows.append([0, None, None])
            continue
        mean, accuracy = confidence[inside].mean(), hit[inside].mean()
        rows.append([int(inside.sum()), float(mean), float(accuracy)])
        gap = abs(mean - accuracy)
        ece, mce = ece + gap * inside.mean(), max(mce, gap)
    return float(ece), float(mce), rows


def draw(classes, samples, present, seed, signal=2.0):
    rng = np.random.default_rng(seed)
    targets = rng.choice(present, size=samples)
    logits = rng.normal(size=(samples, classes)) * 1.5
    logits[np.arange(samples), targets] += signal
    return targets, logits


def metrics(name, classes, samples, present, seed, bins=15, decimals=5, scale=2.0):
    targets, logits = draw(classes, samples, present, seed)
    rounded = np.round(softmax(logits * scale, axis=1), decimals).astype(np.float32)
    written = [[round(float(p), decimals) for p in row] for row in rounded]
    probabilities = rounded.astype(np.float64)
    top = probabilities.argmax(axis=1)
    confidence, hit = probabilities.max(axis=1), top == targets
    ece, mce, rows = reliability(confidence, hit, bins)
    own = probabilities[np.arange(samples), targets]
    one_hot = np.eye(classes)[targets]
    brier = ((probabilities - one_hot) ** 2).sum(axis=1).mean()
    # scikit-learn wants rows that add up to 1 exactly.
    exact = softmax(logits * scale, axis=1)
    theirs = brier_score_loss(targets, exact, labels=np.arange(classes), scale_by_half=False)
    assert abs(((exact - one_hot) ** 2).sum(axis=1).mean() - theirs) < 1e-12
    return {
        "name": name,
        "probabilities": written,
        "targets": targets.tolist(),
        "num_bins": bins,
        "accuracy": float(hit.mean()),
        "confidence": float(confidence.mean()),
        "ece": ece,
        "mce": mce,
        "brier": float(brier),
        "nll": float(-np.log(np.maximum(own, np.finfo(np.float32).tiny)).mean()),
        "bins": rows,
    }


def temperature(name, classes, samples, present, seed, scale=1.0, signal=2.0):
    targets, logits = draw(classes, samples, present, seed, signal)
    rounded = np.round(logits * scale, 4).astype(np.float32)
    written = [[round(float(z), 4) for z in row] for row in rounded]
    logits = rounded.astype(np.float64)
    index = np.arange(samples)

    def nll(t):
        return -log_softmax(logits / t, axis=1)[index, targets].mean()

    def slope(t):
        p = softmax(logits / t, axis=1)
        return ((p * logits).sum(axis=1) - logits[index, targets]).mean()

    found = minimize_scalar(lambda u: nll(np.exp(u)), bounds=(np.log(LOW), np.log(HIGH)),
                            method="bounded", options={"xatol": 1e-10})
    t, bound = float(np.exp(found.x)), None
    if slope(LOW) <= 0:
        t, bound = LOW, "lower"
    elif slope(HIGH) >= 0:
        t, bound = HIGH, "upper"
    else:
        root = root_scalar(slope, bracket=[LOW, HIGH], xtol=1e-14, rtol=1e-14).root
        assert abs(root / t - 1) < 1e-4
        t = float(root)

    def ece(t):
        p = softmax(logits / t, axis=1)
        return reliability(p.max(axis=1), p.argmax(axis=1) == targets, 15)[0]

    return {
        "name": name,
        "logits": written,
        "targets": targets.tolist(),
        "temperature": t,
        "bound": bound,
        "nll_before": float(nll(1.0)),
        "nll_after": float(nll(t)),
        "ece_before": ece(1.0),
        "ece_after": ece(t),
    }


results = {
    "metrics": [
        metrics("two classes", 2, 90, [0, 1], 1),
        metrics("six classes", 6, 120, list(range(6)), 2),
        metrics("ties and bounds of bins", 3, 150, [0, 1, 2], 3, bins=10, decimals=1, scale=0.7),
        metrics("classes without samples", 5, 40, [1, 3], 4),
        metrics("one class present", 3, 20, [2], 5),
        metrics("one sample", 3, 1, [0], 6),
        metrics("nineteen classes", 19, 20, list(range(19)), 8),
        metrics("one bin", 3, 30, [0, 1, 2], 7, bins=1),
    ],
    "temperature": [
        temperature("two classes", 2, 80, [0, 1], 11),
        temperature("overconfident", 5, 100, list(range(5)), 12, scale=3.0),
        temperature("underconfident", 5, 100, list(range(5)), 13, scale=0.2),
        temperature("far off", 4, 100, list(range(4)), 14, scale=18.0),
        temperature("classes without samples", 6, 60, [1, 4], 15),
        temperature("eleven classes", 11, 60, list(range(11)), 18, scale=1.5),
        temperature("never wrong", 3, 60, [0, 1, 2], 16, signal=30.0),
        temperature("always wrong", 3, 60, [0, 1, 2], 17, signal=-30.0),
    ],
}
path = Path(__file__).with_suffix(".json")
path.write_text(json.dumps(results).replace('{"name"', '\n{"name"') + "\n")
