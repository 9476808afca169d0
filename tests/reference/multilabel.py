"""Multi-label metrics of scikit-learn; thresholds by trying all scores; a bootstrap in NumPy.

Rewrites multilabel.json beside itself. Made with scikit-learn 1.9 and NumPy 2.

The tolerance of a bootstrap quantile is five standard errors of the difference of two independent
runs: NumPy's is run 20 times, and the spread of the runs' quantiles gives the error.
"""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    coverage_error,
    f1_score,
    hamming_loss,
    label_ranking_average_precision_score,
    precision_recall_fscore_support,
    roc_auc_score,
)

REPLICATES, RUNS, LEVEL = 20_000, 20, 0.95


def mean(figures):
    defined = [f for f in figures if f is not None]
    return float(np.mean(defined)) if defined else None


def fitted(label, score):
    """The highest of the thresholds with the best F1."""
    if not label.any():
        return 0.5
    best, threshold = Fraction(0), 0.5
    for t in np.unique(score)[::-1]:
        predicted = score >= t
        f1 = Fraction(2 * int((label & predicted).sum()), int(label.sum() + predicted.sum()))
        if f1 > best:
            best, threshold = f1, float(str(t))
    assert np.isclose(f1_score(label, score >= np.float32(threshold)), float(best))
    return threshold


def draw(classes, images, rates, seed, decimals):
    rng = np.random.default_rng(seed)
    labels = rng.random((images, classes)) < np.asarray(rates)
    logits = rng.normal(size=(images, classes)) - 0.5 + 1.5 * labels
    scores = np.round(1 / (1 + np.exp(-logits)), decimals).astype(np.float32)
    return rng, labels, scores


def case(name, classes, images, rates, seed, decimals=4, tied_thresholds=False):
    rng, labels, scores = draw(classes, images, rates, seed, decimals)
    if tied_thresholds:
        thresholds = scores[rng.integers(0, images, classes), np.arange(classes)]
    else:
        thresholds = np.full(classes, 0.5, np.float32)
    predicted = scores >= thresholds
    auc, precision = [], []
    for label, score in zip(labels.T, scores.T):
        both = label.any() and not label.all()
        auc.append(float(roc_auc_score(label, score)) if both else None)
        precision.append(float(average_precision_score(label, score)) if label.any() else None)
    by_class = precision_recall_fscore_support(labels, predicted, average=None, zero_division=0)

    def average(kind):
        figures = precision_recall_fscore_support(labels, predicted, average=kind, zero_division=0)
        return [float(figure) for figure in figures[:3]]

    micro = average_precision_score(labels, scores, average="micro") if labels.any() else None
    return {
        "name": name,
        "scores": [[round(float(s), decimals) for s in row] for row in scores],
        "labels": [np.flatnonzero(row).tolist() for row in labels],
        "thresholds": [round(float(t), decimals) for t in thresholds],
        "average_precision": precision,
        "roc_auc": auc,
        "mean_average_precision": mean(precision),
        "micro_average_precision": None if micro is None else float(micro),
        "macro_roc_auc": mean(auc),
        "precision": by_class[0].tolist(),
        "recall": by_class[1].tolist(),
        "f1": by_class[2].tolist(),
        "support": by_class[3].tolist(),
        "predicted": predicted.sum(0).tolist(),
        "micro_average": average("micro"),
        "macro_average": average("macro"),
        "weighted_average": average("weighted"),
        "sample_average": average("samples"),
        "hamming_loss": float(hamming_loss(labels, predicted)),
        "subset_accuracy": float(accuracy_score(labels, predicted)),
        "coverage_error": float(coverage_error(labels, scores)),
        "label_ranking_average_precision": float(
            label_ranking_average_precision_score(labels, scores)
        ),
        "unlabeled": int((~labels.any(axis=1)).sum()),
        "fitted": [fitted(label, score) for label, score in zip(labels.T, scores.T)],
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


def bootstrap(classes, images, rates, seed, decimals):
    rng, labels, scores = draw(classes, images, rates, seed, decimals)
    value = mean_average_precisions(labels, scores, np.ones((1, images), int))[0]
    theirs = [average_precision_score(l, s) for l, s in zip(labels.T, scores.T) if l.any()]
    assert np.isclose(value, np.mean(theirs), rtol=0, atol=1e-14)
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    runs = []
    for _ in range(RUNS):
        times = rng.multinomial(images, np.full(images, 1 / images), REPLICATES)
        runs.append(mean_average_precisions(labels, scores, times))
    ends = np.quantile(runs, tails, axis=1)
    return {
        "scores": [[round(float(s), decimals) for s in row] for row in scores],
        "labels": [np.flatnonzero(row).tolist() for row in labels],
        "level": LEVEL,
        "value": float(value),
        "interval": np.quantile(np.ravel(runs), tails).tolist(),
        "tolerance": (5 * np.sqrt(2) * ends.std(1, ddof=1)).tolist(),
    }


results = {
    "cases": [
        case("two classes", 2, 60, 0.5, 1),
        case("uneven classes", 6, 90, [0.5, 0.3, 0.2, 0.1, 0.05, 0.6], 2),
        case("ties", 5, 100, 0.3, 3, decimals=1),
        case("thresholds that are scores", 5, 80, 0.3, 4, decimals=1, tied_thresholds=True),
        case("classes without positives", 5, 40, [0.3, 0, 0.2, 0, 0.4], 5, decimals=2),
        case("classes that all images have", 4, 30, [1, 0.3, 1, 0.5], 6, decimals=1),
        case("images without labels", 4, 60, 0.08, 7, decimals=2, tied_thresholds=True),
        case("more classes than a word has bits", 70, 25, 0.1, 8, decimals=2),
        case("no labels", 3, 10, 0, 9, decimals=1),
        case("all labels", 3, 10, 1, 10, decimals=1),
        case("one image", 4, 1, 0.5, 11),
    ],
    "bootstrap": [
        bootstrap(4, 50, [0.4, 0.2, 0.03, 0], 12, 1),
        bootstrap(3, 120, 0.3, 13, 3),
    ],
}
path = Path(__file__).with_suffix(".json")
text = json.dumps(results)
for start in ['{"name"', '{"scores"']:
    text = text.replace(start, "\n" + start)
path.write_text(text + "\n")
