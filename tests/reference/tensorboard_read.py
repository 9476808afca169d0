"""Reads what is written for TensorBoard as TensorBoard does and prints what it holds as JSON.

Usage: tensorboard_read.py FOLDER               a run's folder of events
       tensorboard_read.py FOLDER --served      a folder of such folders: what a server shows of it
       tensorboard_read.py FILE.json --expected PyTorch's histogram of the file's "values", and its
                                                curve of "scores" and "positives"
"""

import json
import pathlib
import sys
import time
import urllib.parse
import urllib.request


def histogram(message):
    return {
        **{name: getattr(message, name) for name in ("min", "max", "num", "sum", "sum_squares")},
        "limits": list(message.bucket_limit),
        "counts": list(message.bucket),
    }


def read(folder):
    from google.protobuf.json_format import MessageToDict
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
    from tensorboard.plugins.pr_curve.plugin_data_pb2 import PrCurvePluginData
    from tensorboard.util.tensor_util import make_ndarray

    sizes = {"scalars": 0, "images": 0, "tensors": 0, "histograms": 0}
    events = EventAccumulator(folder, size_guidance=sizes)
    events.Reload()
    tags = events.Tags()
    plugins = {tag: events.SummaryMetadata(tag).plugin_data for tag in tags["tensors"]}
    names = {tag: plugin.plugin_name for tag, plugin in plugins.items()}

    def of(plugin):
        return [tag for tag, name in names.items() if name == plugin]

    return {
        "scalars": {tag: [[e.step, e.wall_time, e.value] for e in events.Scalars(tag)] for tag in tags["scalars"]},
        "images": {
            tag: [[e.step, e.wall_time, e.width, e.height, e.encoded_image_string.hex()] for e in events.Images(tag)]
            for tag in tags["images"]
        },
        "text": {
            tag: [[e.step, e.wall_time, e.tensor_proto.string_val[0].decode()] for e in events.Tensors(tag)]
            for tag in of("text")
        },
        "histograms": {
            tag: [[e.step, e.wall_time, histogram(e.histogram_value)] for e in events.Histograms(tag)]
            for tag in tags["histograms"]
        },
        "pr_curves": {
            tag: [[e.step, e.wall_time, make_ndarray(e.tensor_proto).tolist()] for e in events.Tensors(tag)]
            for tag in of("pr_curves")
        },
        "num_thresholds": {
            tag: PrCurvePluginData.FromString(plugins[tag].content).num_thresholds for tag in of("pr_curves")
        },
        "hparams": {tag: MessageToDict(HParamsPluginData.FromString(plugins[tag].content)) for tag in of("hparams")},
        "hparams_counts": {tag: len(events.Tensors(tag)) for tag in of("hparams")},
        "plugins": names,
    }


def served(folder):
    from tensorboard import program

    board = program.TensorBoard()
    board.configure(argv=["tensorboard", "--logdir", folder, "--port", "0"])
    url = board.launch()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(route, body=None, **query):
        address = f"{url}data/plugin/{route}?{urllib.parse.urlencode(query)}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
        with opener.open(request, timeout=20) as answer:
            return answer.read()

    def ask_json(*args, **query):
        return json.loads(ask(*args, **query))

    def each(route, tags):
        return {run: {tag: ask_json(route, run=run, tag=tag) for tag in tags[run]} for run in tags}

    # The server loads events while it answers: until every run's last one is there. What a run has
    # by step is in a folder of its own, `steps`, and has no end.
    folders = {path.parent for path in pathlib.Path(folder).glob("**/events.out.*")}
    runs = {str(path.relative_to(folder)) for path in folders if path.name != "steps"}
    statuses = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
    wanted = {"allowedStatuses": statuses, "colParams": [], "startIndex": 0, "sliceSize": 100}
    deadline = time.monotonic() + 60
    while True:
        groups = ask_json("hparams/session_groups", wanted).get("sessionGroups", [])
        if {group["name"] for group in groups if group["sessions"][0].get("endTimeSecs")} == runs:
            break
        if time.monotonic() > deadline:
            raise SystemExit(f"not all of {runs} were loaded: {groups}")
        time.sleep(0.2)

    projector = {}
    for run in ask_json("projector/runs"):
        config = ask_json("projector/info", run=run)
        for embedding in config["embeddings"]:
            query = {"run": run, "name": embedding["tensorName"]}
            embedding["tensorBytes"] = ask("projector/tensor", num_rows=100000, **query).hex()
            if "metadataPath" in embedding:
                embedding["metadata"] = ask("projector/metadata", num_rows=100000, **query).decode()
            if "sprite" in embedding:
                embedding["spriteBytes"] = ask("projector/sprite_image", **query).hex()
        projector[run] = config
    return {
        "session_groups": groups,
        "experiment": ask_json("hparams/experiment", {}),
        "histograms": each("histograms/histograms", ask_json("histograms/tags")),
        "pr_curves": each("pr_curves/pr_curves", ask_json("pr_curves/tags")),
        "projector": projector,
    }


def expected(file):
    import tempfile

    import numpy as np
    from torch.utils.tensorboard import SummaryWriter, summary

    given = json.loads(pathlib.Path(file).read_text())
    with tempfile.TemporaryDirectory() as folder:
        bins = SummaryWriter(folder).default_bins
    values = np.array(given["values"], dtype=np.float32)
    curve = summary.compute_curve(
        np.array(given["positives"]), np.array(given["scores"], dtype=np.float32), num_thresholds=127
    )
    return {"histogram": histogram(summary.make_histogram(values, bins)), "pr_curve": curve.tolist()}


programs = {None: read, "--served": served, "--expected": expected}
print(json.dumps(programs[sys.argv[2] if len(sys.argv) > 2 else None](sys.argv[1])))
