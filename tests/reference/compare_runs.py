"""Compares two run folders as Python reads them: everything in their checkpoints but times, metrics.csv byte for byte,
TensorBoard's scalars, and the files that are there. Prints {"differences": [...]} as its last line.

Usage: compare_runs.py RUN OTHER
"""

import json
import pathlib
import sys

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

differences = []


def compare(path, one, other):
    if path.endswith(("timestamp", "wall_time")):
        return
    if type(one) is not type(other):
        differences.append(f"{path}: {type(one).__name__} and {type(other).__name__}")
    elif isinstance(one, torch.Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape
        if not same or one.numpy().tobytes() != other.numpy().tobytes():
            differences.append(path)
    elif isinstance(one, dict):
        if list(one) != list(other):
            differences.append(f"{path}: keys {list(one)} and {list(other)}")
        for key in one.keys() & other.keys():
            compare(f"{path}.{key}", one[key], other[key])
    elif isinstance(one, (list, tuple)):
        if len(one) != len(other):
            differences.append(f"{path}: {len(one)} and {len(other)} items")
        for index, (a, b) in enumerate(zip(one, other)):
            compare(f"{path}[{index}]", a, b)
    elif repr(one) != repr(other):  # NaN is equal to itself here
        differences.append(f"{path}: {one!r} and {other!r}")


def scalars(run):
    folders = list((run / "tensorboard").iterdir())
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    tags = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    return {"files": len(folders), "scalars": tags}


one, other = map(pathlib.Path, sys.argv[1:3])
# What only an interruption leaves, or differs by nature.
ignored = {"previous.pt", "tensorboard", "logs", "summary.yaml", "report"}
names = [sorted(str(p.relative_to(run)) for p in run.rglob("*") if p.relative_to(run).parts[0] not in ignored and p.is_file()) for run in (one, other)]
compare("files", *names)
for name in names[0]:
    a, b = one / name, other / name
    if not b.exists():
        continue
    if name == "model.torchscript.pt":
        if a.read_bytes() != b.read_bytes():
            differences.append(name)
    elif name.endswith(".pt"):
        compare(name, torch.load(a, weights_only=True), torch.load(b, weights_only=True))
    elif name == "metrics.csv" and a.read_bytes() != b.read_bytes():
        differences.append(name)
compare("tensorboard", scalars(one), scalars(other))
for run in (one, other):
    if "status: completed" not in (run / "summary.yaml").read_text():
        differences.append(f"{run}: not completed")
# Of several labels an image there is no report yet; the figures are in metrics.csv.
has_report = "test_map:" not in (one / "summary.yaml").read_text()
for name in ("classification_report_test.json", "predictions_test.csv") if has_report else ():
    if (one / "report" / name).read_bytes() != (other / "report" / name).read_bytes():
        differences.append(f"report/{name}")
print(json.dumps({"differences": differences[:20]}))
