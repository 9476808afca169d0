"""Risk-coverage curves and thresholds by brute force in NumPy, with bounds of SciPy.

Rewrites selective.json beside itself. Made with SciPy 1.17 and NumPy 2.
"""

import json
from pathlib import Path

import numpy as np
from scipy import stats


def case(name, samples, seed, decimals=4, accuracy=None, settings=((0.05, 0.95), (0.2, 0.9), (0.0, 0.95))):
    rng = np.random.default_rng(seed)
    confidence = np.round(rng.beta(3, 1, samples), decimals).astype(np.float32)
    chance = confidence if accuracy is None else np.full(samples, accuracy)
    hit = rng.random(samples) < chance
    points = []
    for threshold in np.unique(confidence)[::-1]:
        accepted = confidence >= threshold
        points.append((threshold, accepted.mean(), 1 - hit[accepted].mean(), accepted.sum(),
                       (accepted & ~hit).sum()))
    aurc = np.mean([1 - hit[confidence >= own].mean() for own in confidence])
    thresholds = []
    for max_error, level in settings:
        found = [p for p in points if p[4] <= max_error * p[3]]
        if found:
            threshold, coverage, _, accepted, errors = found[-1]
            bound = (stats.beta.ppf(level, errors + 1, accepted - errors)
                     if errors < accepted else 1.0)
            found = [float(threshold), float(coverage), int(accepted), int(errors), float(bound)]
        thresholds.append({"max_error": max_error, "level": level, "found": found or None})
    return {
        "name": name,
        "confidences": [round(float(c), decimals) for c in confidence],
        "hits": hit.astype(int).tolist(),
        "aurc": float(aurc),
        "points": [[float(x) for x in p[:3]] for p in points],
        "thresholds": thresholds,
    }


cases = [
    case("calibrated", 200, 1),
    case("ties", 150, 2, decimals=1),
    case("equal confidences", 20, 3, decimals=0),
    case("always right", 30, 4, accuracy=1.0),
    case("always wrong", 30, 5, accuracy=0.0, settings=((0.05, 0.95), (0.9, 0.95), (1.0, 0.95))),
    case("one sample, right", 1, 6, accuracy=1.0),
    case("one sample, wrong", 1, 7, accuracy=0.0),
]
path = Path(__file__).with_suffix(".json")
path.write_text(json.dumps(cases).replace('{"name"', '\n{"name"') + "\n")
