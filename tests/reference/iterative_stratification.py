"""Random label sets, and how evenly iterative stratification deals them: iterative_stratification.json.

Algorithm 1 of Sechidis, Tsoumakas, Vlahavas, "On the Stratification of Multi-Label Data" (ECML PKDD 2011), in float64,
for images that stand alone; images without labels go last, to the part that still wants most. Each case: classes, the
parts' shares, the labels of each image, and for three seeds the paper's measures: LD, the labels distribution, and ED,
the examples distribution; and LD of a random split, for comparison.
"""

import json
from pathlib import Path

import numpy as np


def stratify(labels, shares, random):
    """labels: bool [images, classes] -> the part of each image."""
    count, classes = labels.shape
    wanted = count * shares
    wanted_of = labels.sum(axis=0)[:, None] * shares[None, :]
    parts = np.full(count, -1)

    def most(values, among):
        best = values[among].max()
        return among[np.isclose(values[among], best, rtol=0, atol=1e-9)]

    def deal(image, label):
        among = np.flatnonzero(shares > 0)
        if label is not None:
            among = most(wanted_of[label], among)
        among = most(wanted, among)
        part = random.choice(among)
        parts[image] = part
        wanted_of[labels[image], part] -= 1
        wanted[part] -= 1

    while True:
        left = labels[parts < 0].sum(axis=0)
        if not left.any():
            break
        least = np.flatnonzero(left == left[left > 0].min())
        label = random.choice(least)
        for image in random.permutation(np.flatnonzero(labels[:, label] & (parts < 0))):
            deal(image, label)
    for image in random.permutation(np.flatnonzero(parts < 0)):
        deal(image, None)
    return parts


def labels_distribution(labels, parts, shares):
    """Mean over labels and parts of the distance between the odds of the label in the part and in all images."""
    total = labels.sum(axis=0)
    in_all = total / (len(labels) - total)
    used = np.flatnonzero(shares > 0)
    off = []
    for part in used:
        mine = labels[parts == part]
        positive = mine.sum(axis=0)
        off.append(np.abs(positive / (len(mine) - positive) - in_all))
    return float(np.mean(off))


def examples_distribution(parts, shares):
    used = np.flatnonzero(shares > 0)
    return float(np.mean([abs((parts == part).sum() - len(parts) * shares[part]) for part in used]))


def main():
    random = np.random.default_rng(0)
    cases = []
    for number in range(16):
        classes = int(random.choice([3, 6, 12, 30]))
        count = int(random.choice([150, 300, 600]))
        # Rare and common labels, which depend on each other by a few hidden causes.
        popularity = np.exp(random.normal(-2.2, 1.0, classes))
        causes = random.normal(0, 1, (count, 3)) @ random.normal(0, 1, (3, classes))
        odds = popularity * np.exp(causes)
        labels = random.random((count, classes)) < np.minimum(odds / (1 + odds), 0.9)
        total = labels.sum(axis=0)
        labels = labels[:, (total >= 5) & (total < 0.8 * count)]
        if labels.shape[1] < 2:
            continue
        folds = number % 2 == 1
        shares = np.full(5, 0.2) if folds else np.array([0.7, 0.15, 0.15])
        measures = []
        for seed in range(3):
            own = np.random.default_rng(seed)
            parts = stratify(labels, shares, own)
            parts_by_chance = own.choice(len(shares), size=count, p=shares)
            measures.append(
                [
                    labels_distribution(labels, parts, shares),
                    examples_distribution(parts, shares),
                    labels_distribution(labels, parts_by_chance, shares),
                ]
            )
        cases.append(
            {
                "classes": labels.shape[1],
                "shares": [round(float(share) * 100) for share in shares],
                "labels": [np.flatnonzero(row).tolist() for row in labels],
                "measures": measures,
            }
        )
    path = Path(__file__).with_suffix(".json")
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    path.write_text(f'{{"numpy":"{np.__version__}","cases":[\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
