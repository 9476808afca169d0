"""Clopper-Pearson bounds, binomial tests and t intervals of SciPy; a bootstrap in NumPy.

Rewrites intervals.json beside itself. Made with SciPy 1.17 and NumPy 2.

The tolerance of a bootstrap quantile is five standard errors of the difference of two independent
runs: NumPy's is run 20 times, and the spread of the runs' quantiles gives the error.
"""

import json
from pathlib import Path

import numpy as np
from scipy import stats

REPLICATES, RUNS = 20_000, 20


def binomial(successes, trials, level):
    # By the quantiles of the beta distribution: binomtest(...).proportion_ci solves to 1e-12 only.
    tail, failures = (1 - level) / 2, trials - successes
    lower = stats.beta.ppf(tail, successes, failures + 1) if successes else 0.0
    upper = stats.beta.isf(tail, successes + 1, failures) if failures else 1.0
    one_sided = stats.beta.isf(1 - level, successes + 1, failures) if failures else 1.0
    test = stats.binomtest(successes, trials).proportion_ci(level, method="exact")
    assert np.allclose([test.low, test.high], [lower, upper], rtol=0, atol=1e-9)
    return [successes, trials, level, float(lower), float(upper), float(one_sided)]


def mean(figures, level):
    figures = np.asarray(figures)
    center, sd = figures.mean(), figures.std(ddof=1)
    t = stats.t.ppf((1 + level) / 2, len(figures) - 1)
    half = t * sd / np.sqrt(len(figures))
    return {
        "figures": figures.tolist(),
        "level": level,
        "mean": float(center),
        "sd": float(sd),
        "interval": [float(center - half), float(center + half)],
    }


def metrics(counts):
    """`[R, K, K]` -> accuracy, balanced accuracy, macro F1, each `[R]`."""
    hits = np.einsum("rkk->rk", counts)
    support, predicted = counts.sum(2), counts.sum(1)
    present = support[0] > 0
    recall = hits[:, present] / support[:, present]
    both = support + predicted
    f1 = np.divide(2 * hits, both, out=np.zeros_like(hits, dtype=float), where=both > 0)
    return hits.sum(1) / support.sum(1), recall.mean(1), f1.mean(1)


def quantiles(value, runs, level):
    """`runs` `[RUNS, REPLICATES]`."""
    tails = [(1 - level) / 2, (1 + level) / 2]
    ends = np.quantile(runs, tails, axis=1)
    whole = np.quantile(runs.ravel(), tails)
    spread = 5 * np.sqrt(2) * ends.std(1, ddof=1)
    # A quantile of few possible values may fall on the next of them.
    values = np.unique(runs)
    step = np.diff(values).max() if len(values) < 300 and len(values) > 1 else 0.0
    return {
        "value": float(value),
        "interval": whole.tolist(),
        "tolerance": (np.maximum(spread, step)).tolist(),
    }


def stratified(name, targets, predictions, classes, level, seed):
    rng = np.random.default_rng(seed)
    observed = np.zeros((1, classes, classes))
    np.add.at(observed, (0, targets, predictions), 1)
    values = metrics(observed)
    runs = []
    for _ in range(RUNS):
        counts = np.zeros((REPLICATES, classes, classes))
        for k in range(classes):
            images = predictions[targets == k]
            if len(images) == 0:
                continue
            drawn = images[rng.integers(0, len(images), (REPLICATES, len(images)))]
            for j in range(classes):
                counts[:, k, j] = (drawn == j).sum(1)
        runs.append(metrics(counts))
    return {
        "name": name,
        "targets": targets.tolist(),
        "predictions": predictions.tolist(),
        "num_classes": classes,
        "level": level,
        "metrics": [
            quantiles(values[i][0], np.stack([run[i] for run in runs]), level) for i in range(3)
        ],
    }


def paired(first, second, level, seed):
    rng = np.random.default_rng(seed)
    difference = first.astype(int) - second.astype(int)
    n = len(difference)
    runs = np.stack(
        [difference[rng.integers(0, n, (REPLICATES, n))].mean(1) for _ in range(RUNS)]
    )
    return {
        "first": first.astype(int).tolist(),
        "second": second.astype(int).tolist(),
        "level": level,
        "difference": quantiles(difference.mean(), runs, level),
    }


rng = np.random.default_rng(1)


def guesses(targets, classes, accuracy):
    wrong = rng.integers(0, classes, len(targets))
    return np.where(rng.random(len(targets)) < accuracy, targets, wrong)


uneven = rng.choice(5, 120, p=[0.5, 0.25, 0.15, 0.08, 0.02])
absent = rng.choice([0, 1, 4], 40)
even = np.repeat(np.arange(3), 40)
binomials = [
    binomial(k, n, level)
    for level in [0.95, 0.8]
    for k, n in [
        (0, 1), (1, 1), (0, 10), (10, 10), (3, 10), (1, 100), (99, 100), (50, 100), (0, 50000),
        (1, 50000), (123, 50000), (25000, 50000), (49999, 50000), (400000, 1000000),
    ]
]
discordant = [(0, 0), (0, 1), (1, 0), (5, 5), (3, 9), (9, 3), (0, 12), (40, 41), (100, 160),
              (5000, 5100), (2, 60)]
results = {
    "binomial": binomials,
    "mcnemar": [
        [b, c, float(stats.binomtest(b, b + c).pvalue) if b + c else 1.0] for b, c in discordant
    ],
    "mean": [
        mean([0.91, 0.93, 0.92, 0.95, 0.90], 0.95),
        mean([0.5, 0.7], 0.95),
        mean([12.0, 15.5, 11.25], 0.99),
        mean(rng.normal(size=40).tolist(), 0.9),
    ],
    "stratified": [
        stratified("even classes", even, guesses(even, 3, 0.8), 3, 0.95, 2),
        stratified("uneven classes", uneven, guesses(uneven, 5, 0.6), 5, 0.95, 3),
        stratified("classes without images", absent, guesses(absent, 5, 0.5), 5, 0.9, 4),
    ],
    "paired": [
        paired(rng.random(150) < 0.85, rng.random(150) < 0.8, 0.95, 5),
        paired(rng.random(30) < 0.5, rng.random(30) < 0.9, 0.9, 6),
    ],
}
path = Path(__file__).with_suffix(".json")
path.write_text(json.dumps(results).replace('"mean": [', '\n"mean": [').replace('{"', '\n{"') + "\n")
