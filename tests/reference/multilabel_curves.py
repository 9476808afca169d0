"""Precision-recall curves of images with several labels, by scikit-learn; a paired bootstrap in NumPy.

Rewrites multilabel_curves.json beside itself. Made with scikit-learn 1.9 and NumPy 2.

A curve has the points of `precision_recall_curve` at the scores of images with the label, from the
highest on: between them recall stays and precision falls. The tolerance of a bootstrap quantile is
five standard errors of the difference of two independent runs: NumPy's is run 20 times, and the
spread of the runs' quantiles gives the error.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve

REPLICATES, RUNS, LEVEL = 20_000, 20, 0.95


def draw(rng, labels, skill, decimals):
    logits = rng.normal(size=labels.shape) - 0.5 + skill * labels
    return np.round(1 / (1 + np.exp(-logits)), decimals).astype(np.float32)


def listed(scores, decimals):
    return [[round(float(s), decimals) for s in row] for row in scores]


def sets(labels):
    return [np.flatnonzero(row).tolist() for row in labels]


def curve(label, score):
    if not label.any():
        return []
    precision, recall, thresholds = precision_recall_curve(label, score)
    own = np.isin(thresholds, score[label])
    points = zip(thresholds[own], precision[:-1][own], recall[:-1][own])
    return [[float(str(t)), float(p), float(r)] for t, p, r in points][::-1]


def case(classes, images, rates, seed, decimals):
    rng = np.random.default_rng(seed)
    labels = rng.random((images, classes)) < np.asarray(rates)
    scores = draw(rng, labels, 1.5, decimals)
    return {
        "scores": listed(scores, decimals),
        "labels": sets(labels),
        "classes": [curve(label, score) for label, score in zip(labels.T, scores.T)],
        "pairs": curve(labels.ravel(), scores.ravel()),
    }


def average_precisions(label, score, times):
    """`times` `[R, N]`: how often each image was drawn -> `[R]`, NaN without positives."""
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)
    seen = times[:, order].cumsum(1)[:, last]
    hits = (times[:, order] * label[order]).cumsum(1)[:, last]
    here = np.diff(hits, axis=1, prepend=0)
    positives = hits[:, -1]
    terms = np.divide(here * hits, seen, out=np.zeros(seen.shape), where=seen > 0)
    return np.divide(
        terms.sum(1), positives, out=np.full(len(times), np.nan), where=positives > 0
    )


def mean_average_precisions(labels, scores, times):
    return np.nanmean(
        [average_precisions(label, score, times) for label, score in zip(labels.T, scores.T)],
        axis=0,
    )


def paired(classes, images, rates, seed, decimals):
    rng = np.random.default_rng(seed)
    labels = rng.random((images, classes)) < np.asarray(rates)
    first, second = draw(rng, labels, 1.8, decimals), draw(rng, labels, 1.2, decimals)
    theirs = [
        np.mean([average_precision_score(l, s) for l, s in zip(labels.T, scores.T) if l.any()])
        for scores in (first, second)
    ]
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    runs = []
    for _ in range(RUNS):
        times = rng.multinomial(images, np.full(images, 1 / images), REPLICATES)
        one, two = (mean_average_precisions(labels, scores, times) for scores in (first, second))
        runs.append(one - two)
    ends = np.quantile(runs, tails, axis=1)
    return {
        "first": listed(first, decimals),
        "second": listed(second, decimals),
        "labels": sets(labels),
        "level": LEVEL,
        "value": float(theirs[0] - theirs[1]),
        "interval": np.quantile(np.ravel(runs), tails).tolist(),
        "tolerance": (5 * np.sqrt(2) * ends.std(1, ddof=1)).tolist(),
    }


results = {
    "curves": [
        case(4, 60, [0.5, 0.2, 0.05, 0], 1, 4),
        case(3, 80, 0.3, 2, 1),
        case(2, 10, 1, 3, 2),
        case(2, 10, 0, 4, 2),
    ],
    "paired": [paired(4, 50, [0.4, 0.2, 0.1, 0], 5, 1), paired(3, 120, 0.3, 6, 3)],
}
path = Path(__file__).with_suffix(".json")
text = json.dumps(results)
for start in ['{"scores"', '{"first"']:
    text = text.replace(start, "\n" + start)
path.write_text(text + "\n")
