"""Make this folder with the programs of an older version: `make.py FOLDER_OF_PROGRAMS`.

Splits a few of the digits beside this folder, trains in `runs/digits` and interrupts it within the
third epoch; then lets a copy of that run resume to its end, evaluates it, predicts some images, and
writes what came out to `expected.json`.
"""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
DIGITS = HERE.parent / "digits" / "raw"
HASH = HERE.parents[1] / "reference" / "state_hash.py"
# What the run folder keeps. `best.pt` would double its size, and the epochs that are left to train
# are better than those before.
KEPT = ["config.yaml", "summary.yaml", "metrics.csv", "last.pt"]
# One thread and libtorch's plainest kernels, so that other machines come as near as they can.
PLAIN = {"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "default"}


def run(programs, name, args, place):
    return subprocess.run(
        [programs / name, *args], cwd=place, env={**os.environ, **PLAIN}, check=True, text=True,
        stdout=subprocess.PIPE,
    ).stdout


def interrupted(programs, place, delay):
    """Trains until the second epoch is over, plus `delay`; whether it stopped within the third."""
    folder = place / "runs" / "digits"
    shutil.rmtree(folder, ignore_errors=True)
    child = subprocess.Popen(
        [programs / "ml-train", "--config", "train.yaml", "--run_name", "digits", "--device", "cpu"],
        cwd=place, env={**os.environ, **PLAIN}, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )
    metrics = folder / "metrics.csv"
    while child.poll() is None and not (metrics.exists() and len(metrics.read_text().splitlines()) >= 3):
        time.sleep(0.0005)
    time.sleep(delay)
    child.send_signal(signal.SIGTERM)
    if child.wait() != 128 + signal.SIGTERM:
        return False
    state = torch.load(folder / "last.pt", weights_only=True)
    return state["epoch"] == 2 and state["batch_in_epoch"] > 0


def predictions(text):
    return {row["path"]: [row["class"], float(row["probability"])] for row in csv.DictReader(text.splitlines())}


def rows(path):
    with open(path, newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def main():
    programs = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        shutil.copy(HERE / "train.yaml", place)
        for digit in range(4):
            folder = place / "data" / "raw" / str(digit)
            folder.mkdir(parents=True)
            for image in sorted((DIGITS / str(digit)).iterdir())[:30]:
                shutil.copy(image, folder)
        run(programs, "ml-split", ["data", "--ratio", "0.6", "0.2", "0.2"], place)
        if not any(interrupted(programs, place, delay / 1000) for delay in range(40)):
            sys.exit("no signal came within the third epoch; try again")
        for folder in ["data", "runs"]:
            shutil.rmtree(HERE / folder, ignore_errors=True)
        shutil.copytree(place / "data", HERE / "data", ignore=shutil.ignore_patterns(".ml-cache"))
        (HERE / "runs" / "digits").mkdir(parents=True)
        for file in KEPT:
            shutil.copy(place / "runs" / "digits" / file, HERE / "runs" / "digits")
        shutil.rmtree(place / "runs")
        shutil.copytree(HERE / "runs", place / "runs")

        images = [image.relative_to(place) for digit in range(4)
                  for image in sorted((place / "data/raw" / str(digit)).iterdir())[:3]]
        predict = ["--device", "cpu", "--format", "csv", *map(str, images), "--checkpoint"]
        first = run(programs, "ml-inference", [*predict, "runs/digits/last.pt"], place)
        summary = run(programs, "ml-train", ["--resume", "runs/digits", "--device", "cpu", "--json"], place)
        test = run(programs, "ml-inference", ["--checkpoint", "runs/digits", "--device", "cpu", "--json"], place)
        last = run(programs, "ml-inference", [*predict, "runs/digits"], place)
        state = subprocess.run([sys.executable, HASH, place / "runs/digits/last.pt"], check=True,
                               stdout=subprocess.PIPE, text=True).stdout.split()
        kept = ["status", "epochs", "steps", "best_epoch", "best_val_accuracy", "test_accuracy"]
        (HERE / "expected.json").write_text(json.dumps({
            "predictions_of_last_pt": predictions(first),
            "summary": {key: json.loads(summary)[key] for key in kept},
            "metrics": rows(place / "runs/digits/metrics.csv"),
            "test": {key: json.loads(test)[key] for key in ["accuracy", "loss", "confusion_matrix"]},
            "predictions_after": predictions(last),
            "state_sha256": state[-1],
        }, indent=1) + "\n")


if __name__ == "__main__":
    main()
