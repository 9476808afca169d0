"""Labels that were moved on purpose: how many of them the lists of this project and of cleanlab find.

    planted_labels.py plant FROM TO [--share 0.05] [--seed 0]
    planted_labels.py compare FOLDER PLANTED

`plant` copies class folders and moves a share of the images, drawn at random, to another class,
whose paths go to TO/planted.txt. After `ml-split TO --folds 4` and `ml-train --data_dir TO --fold
all`, `compare` reads probabilities, predictions and label issues (`…_out_of_fold…`) of the runs'
report folder, and prints of both lists the precision among as many images as were planted. Made with
cleanlab 2.9 and NumPy 2.
"""

import argparse
import csv
import json
import random
import shutil
from pathlib import Path


def plant(source, target, share, seed):
    draw = random.Random(seed)
    classes = sorted(folder.name for folder in source.iterdir() if folder.is_dir())
    moved = []
    for name in classes:
        for image in sorted((source / name).iterdir()):
            label = name
            if draw.random() < share:
                label = draw.choice([other for other in classes if other != name])
            to = target / "raw" / label / f"{name}_{image.name}"
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(image, to)
            if label != name:
                moved.append(f"raw/{label}/{to.name}")
    (target / "planted.txt").write_text("".join(f"{path}\n" for path in moved))
    print(f"{len(moved)} labels moved")


def compare(folder, planted):
    import numpy as np
    from cleanlab.filter import find_label_issues

    moved = set(planted.read_text().split("\n")) - {""}
    with (folder / "predictions_out_of_fold.csv").open() as file:
        rows = list(csv.DictReader(file))
    report = json.loads((folder / "classification_report_out_of_fold.json").read_text())
    numbers = {one["class"]: number for number, one in enumerate(report["classes"])}
    labels = np.array([numbers[row["label"]] for row in rows])
    probabilities = np.load(folder / "probabilities_out_of_fold.npy").astype(np.float64)
    found = find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    theirs = [rows[place]["path"] for place in found]
    with (folder / "label_issues_out_of_fold.csv").open() as file:
        ours = [row["path"] for row in csv.DictReader(file)]
    number = sum(row["path"] in moved for row in rows)

    def precision(paths):
        return sum(path in moved for path in paths[:number]) / number

    print(f"{len(rows)} images, {number} planted, at random {number / len(rows):.3f}")
    print(f"ours: {len(ours)} listed, precision {precision(ours):.3f}")
    print(f"cleanlab: {len(theirs)} listed, precision {precision(theirs):.3f}; the same list: {ours == theirs}")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
commands = parser.add_subparsers(dest="command", required=True)
planting = commands.add_parser("plant")
planting.add_argument("source", type=Path)
planting.add_argument("target", type=Path)
planting.add_argument("--share", type=float, default=0.05)
planting.add_argument("--seed", type=int, default=0)
comparing = commands.add_parser("compare")
comparing.add_argument("folder", type=Path)
comparing.add_argument("planted", type=Path)
given = parser.parse_args()
if given.command == "plant":
    plant(given.source, given.target, given.share, given.seed)
else:
    compare(given.folder, given.planted)
