"""Reads a folder of events as TensorBoard does and prints what it holds as JSON.

Usage: tensorboard_read.py FOLDER
"""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "images": 0, "tensors": 0})
events.Reload()
tags = events.Tags()
print(
    json.dumps(
        {
            "scalars": {tag: [[e.step, e.wall_time, e.value] for e in events.Scalars(tag)] for tag in tags["scalars"]},
            "images": {
                tag: [[e.step, e.wall_time, e.width, e.height, e.encoded_image_string.hex()] for e in events.Images(tag)]
                for tag in tags["images"]
            },
            "text": {
                tag: [[e.step, e.wall_time, e.tensor_proto.string_val[0].decode()] for e in events.Tensors(tag)]
                for tag in tags["tensors"]
            },
            "plugins": {tag: events.SummaryMetadata(tag).plugin_data.plugin_name for tag in tags["tensors"]},
        }
    )
)
