"""Random groups, and how evenly scikit-learn's StratifiedGroupKFold deals them: group_folds.json.

Each case: classes, folds, the groups' images of each class, and for three seeds the mean over classes of the
standard deviation over folds of the class's share (what StratifiedGroupKFold makes small step by step), and the standard
deviation of the folds' sizes over their mean.
"""

import json
from pathlib import Path

import numpy as np
import sklearn
from sklearn.model_selection import StratifiedGroupKFold


def measure(counts):
    """counts: [folds, classes]."""
    shares = counts / counts.sum(axis=0)
    sizes = counts.sum(axis=1)
    return float(np.mean(np.std(shares, axis=0))), float(np.std(sizes) / np.mean(sizes))


def main():
    random = np.random.default_rng(0)
    cases = []
    for number in range(30):
        classes = int(random.choice([2, 3, 5, 10]))
        folds = int(random.choice([3, 5, 10]))
        count = int(random.choice([30, 60, 150]))
        mean = float(random.choice([2, 6, 15]))
        popularity = random.dirichlet(np.ones(classes) * 2)
        groups = []
        for _ in range(count):
            size = 2 + int(random.exponential(mean))
            # A third of the patients have images in several classes.
            own = popularity if random.random() < 0.33 else np.eye(classes)[random.choice(classes, p=popularity)]
            groups.append(random.multinomial(size, own).tolist())
        table = np.array(groups)
        if (np.sum(table > 0, axis=0) < folds).any() or (table.sum(axis=0) < folds).any():
            continue
        y = np.concatenate([np.repeat(np.arange(classes), group) for group in table])
        who = np.repeat(np.arange(count), table.sum(axis=1))
        measures = []
        for seed in range(3):
            splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
            parts = [np.bincount(y[test], minlength=classes) for _, test in splitter.split(y, y, who)]
            measures.append(measure(np.array(parts)))
        cases.append({"folds": folds, "groups": groups, "measures": measures})
    path = Path(__file__).with_suffix(".json")
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    path.write_text(f'{{"sklearn":"{sklearn.__version__}","cases":[\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
