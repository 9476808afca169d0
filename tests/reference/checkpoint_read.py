"""Loads a checkpoint as PyTorch does, from the file and mapped, and prints what it holds as JSON.

Usage: checkpoint_read.py FILE
"""

import json
import sys
import zipfile

import torch


def describe(value):
    if isinstance(value, torch.Tensor):
        raw = value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes().hex()
        return {"dtype": str(value.dtype), "shape": list(value.shape), "bytes": raw}
    if isinstance(value, dict):
        return {f"{type(key).__name__} {key}": describe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *map(describe, value)]
    return f"{type(value).__name__} {value!r}"


def storages(value):
    if isinstance(value, torch.Tensor):
        yield value.untyped_storage().data_ptr()
    elif isinstance(value, dict):
        for item in value.values():
            yield from storages(item)


path = sys.argv[1]
read = torch.load(path, weights_only=True)
mapped = torch.load(path, weights_only=True, mmap=True)
with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
    damaged = archive.testzip()
    starts = []
    for entry in archive.infolist():
        file.seek(entry.header_offset + 26)
        lengths = file.read(4)
        starts.append(entry.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little"))
pointers = [pointer for pointer in storages(read) if pointer != 0]
print(
    json.dumps(
        {
            "content": describe(read),
            "mapped_is_equal": describe(mapped) == describe(read),
            "damaged": damaged,
            "aligned": all(start % 64 == 0 for start in starts),
            "storages": len(set(pointers)),
        }
    )
)
