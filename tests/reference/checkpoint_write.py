"""Writes files of many kinds with PyTorch, and prints as JSON what those that can be read hold.

Usage: checkpoint_write.py FOLDER
"""

import argparse
import collections
import copyreg
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import io
import json
import operator
import os
import pathlib
import pickle
import re
import struct
import sys
import tarfile
import types
import uuid
import warnings
import zipfile

import numpy
import torch

warnings.simplefilter("ignore")
folder = sys.argv[1]
torch.manual_seed(0)
expected = {}


def describe(tensor):
    return {
        "stride": list(tensor.stride()),
        "shape": list(tensor.shape),
        "bytes": tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes().hex(),
    }


def save(name, value, tensors, **options):
    torch.save(value, os.path.join(folder, name), **options)
    expected[name] = {key: describe(tensor) for key, tensor in tensors.items()}


model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(4, 2))
save("state_dict.pt", model.state_dict(), model.state_dict())
save("protocol_4.pt", model.state_dict(), model.state_dict(), pickle_protocol=4)
save("protocol_5.pt", model.state_dict(), model.state_dict(), pickle_protocol=5)
save("wrapped.pt", {"state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}, "epoch": 3}, model.state_dict())
save("parameters.pt", dict(model.named_parameters()), dict(model.named_parameters()))

base = torch.randn(4, 6)
views = {
    "transposed": base.t(),
    "column": base[:, 2],
    "whole": base,
    "expanded": torch.randn(1, 3).expand(5, 3),
    "channels_last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    "scalar": torch.tensor(2.5),
    "empty": torch.empty(0, 7),
    "name with Ünïcode 写": torch.ones(1),
}
save("views.pt", views, views)

kinds = {
    str(dtype): torch.tensor([1, 0, 3, -1 if dtype.is_signed else 1]).to(dtype)
    for dtype in (
        torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
        torch.int8, torch.uint8, torch.bool,
    )
}  # fmt: skip
save("kinds.pt", kinds, kinds)

optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
model(torch.randn(2, 3, 3, 3)).sum().backward()
optimizer.step()
schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [30, 60])
plain = {
    "none": None, "yes": True, "int": -5, "large": 2**40, "float": 0.1, "str": "Grün", "bytes": b"\x00\xff",
    "list": [1, [2]], "tuple": (1, 2, 3, 4), "size": torch.Size([2, 3]), "set": {7}, "dtype": torch.float16,
    "device": torch.device("cuda", 1), "int keys": {0: "a", -1: "b"}, "shared": [[9]] * 2,
    "negative": [-1, -(2**31) - 1, 255, 65535, 65536],
}  # fmt: skip
# As torchvision's reference training saves: an object of options beside the states.
save(
    "training.pt",
    {"optimizer": optimizer.state_dict(), "lr_scheduler": schedule.state_dict(), "plain": plain,
     "args": argparse.Namespace(lr=0.1, epochs=[1, 2]), "ordered": collections.OrderedDict(b=1, a=2)},
    {},
)  # fmt: skip


# The format of before 1.6, which many published weights are in.
old = {"_use_new_zipfile_serialization": False}
save("legacy.pt", model.state_dict(), model.state_dict(), **old)
save("legacy_protocol_4.pt", model.state_dict(), model.state_dict(), pickle_protocol=4, **old)
save("legacy_parameters.pt", dict(model.named_parameters()), dict(model.named_parameters()), **old)
save("legacy_views.pt", views, views, **old)
save("legacy_kinds.pt", kinds, kinds, **old)
save(
    "legacy_training.pt",
    {"optimizer": optimizer.state_dict(), "lr_scheduler": schedule.state_dict(), "plain": plain,
     "args": argparse.Namespace(lr=0.1, epochs=[1, 2]), "ordered": collections.OrderedDict(b=1, a=2)},
    {}, **old,
)  # fmt: skip


class OldPickler(pickle.Pickler):
    """Writes tensors and parameters as PyTorch did before 0.4, and storages as parts of larger ones."""

    def __init__(self, file, parameter):
        super().__init__(file, protocol=2)
        self.parameter, self.storages = parameter, {}

    def persistent_id(self, obj):
        if not isinstance(obj, torch.storage.TypedStorage):
            return None
        data = torch.empty(0, dtype=obj.dtype).set_(obj.untyped())
        before = torch.full((3,), 9, dtype=obj.dtype)
        key = str(len(self.storages))
        self.storages[key] = torch.cat([before, data, before])
        size = len(self.storages[key])
        return "storage", torch.FloatStorage, key, "cpu", size, (f"part of {key}", 3, len(data))

    def reducer_override(self, obj):
        if isinstance(obj, torch.nn.Parameter):
            return self.parameter(obj.data)
        if isinstance(obj, torch.Tensor):
            storage = obj._typed_storage()
            return torch._utils._rebuild_tensor, (storage, obj.storage_offset(), tuple(obj.shape), obj.stride())
        return NotImplemented


def save_old(name, tensors, parameter):
    with open(os.path.join(folder, name), "wb") as file:
        machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 8}}
        for value in (0x1950A86A20F9469CFC6C, 1001, machine):
            pickle.dump(value, file, protocol=2)
        pickler = OldPickler(file, parameter)
        pickler.dump(tensors)
        pickle.dump(list(pickler.storages), file, protocol=2)
        for data in pickler.storages.values():
            file.write(struct.pack("<q", len(data)) + data.numpy().tobytes())
    again = torch.load(os.path.join(folder, name), weights_only=False)
    assert all(torch.equal(again[key], tensor) for key, tensor in tensors.items()), name
    expected[name] = {key: describe(tensor) for key, tensor in tensors.items()}


parameters = collections.OrderedDict(model.named_parameters())
hooks = collections.OrderedDict
# Of 0.1.10 to 0.3: made from the data, then given switches and hooks.
save_old("old_parameters.pt", parameters, lambda data: (copyreg.__newobj__, (torch.nn.Parameter, data), (True, False, hooks())))
# Of before: made empty, then given everything.
save_old("older_parameters.pt", parameters, lambda data: (copyreg.__newobj__, (torch.nn.Parameter,), (data, None, hooks(), True, False)))


class Evil:
    def __reduce__(self):
        return os.system, ("touch executed",)


class Thing:
    def __init__(self):
        self.itself = self


class Slotted:
    __slots__ = ("a",)

    def __init__(self):
        self.a = 1


class Mapping(dict):
    """As omegaconf, easydict and addict have them: items, and attributes beside."""

    def __init__(self, **items):
        super().__init__(**items)
        self.__dict__.update(items)


@dataclasses.dataclass
class Options:
    lr: float = 0.1


class Color(enum.Enum):
    RED = 1


class Flag(enum.IntFlag):
    ON = 1


class Tagged(torch.Tensor):
    pass


Point = collections.namedtuple("Point", "x y")
array = numpy.arange(6, dtype=numpy.float32).reshape(2, 3)
tagged = torch.arange(3.0)
tagged.note = "kept beside the data"
numbers = {
    "float64": numpy.float64(0.9), "float32": numpy.float32(0.5), "int64": numpy.int64(-7), "uint8": numpy.uint8(255),
    "bool": numpy.bool_(True), "big": numpy.array([3], dtype=">i4")[0],
}  # fmt: skip
known = {
    "numbers": numbers, "simple": types.SimpleNamespace(a=1), "deque": collections.deque([1, 2], maxlen=3),
    "mapping": Mapping(a=1), "defaultdict": collections.defaultdict(Thing, a=1), "bytearray": bytearray(b"\x00\xff"),
    "keys": {(1, 2): 1, None: 2, 1.5: 3, Color.RED: 4, "a": 5}, "tagged": tagged, "subclass": torch.ones(2).as_subclass(Tagged),
}  # fmt: skip
opaque = {
    "array": array, "objects": numpy.array([None, "a"]), "text": numpy.str_("a"), "half": numpy.float16(1), "dtype": array.dtype,
    "structured": numpy.zeros(1, dtype=[("a", "i4")])[0], "random": numpy.random.RandomState(1), "generator": numpy.random.default_rng(1),
    "path": pathlib.PosixPath("a/b"), "windows": pathlib.PureWindowsPath("a/b"), "time": datetime.datetime(2026, 1, 1),
    "date": datetime.date(2026, 1, 1), "delta": datetime.timedelta(1), "zone": datetime.timezone.utc, "decimal": decimal.Decimal("0.1"),
    "fraction": fractions.Fraction(1, 3), "uuid": uuid.UUID(int=2**127), "complex": 1 + 2j, "slice": slice(1, 2), "range": range(3),
    "huge": 2**70, "partial": functools.partial(print, 1), "class": Thing, "function": print, "thing": Thing(), "slots": Slotted(),
    "options": Options(), "color": Color.RED, "flag": Flag.ON, "point": Point(1, 2), "error": ValueError("x"), "evil": Evil(),
    "regex": re.compile("a"), "operator": operator.attrgetter("a"), "method": "".join, "optimizer": optimizer, "schedule": schedule,
    "layout": torch.strided, "finfo": torch.float8_e4m3fn, "storage": torch.ones(2).untyped_storage(),
    "typed": torch.ones(2).storage(), "complex64": torch.zeros(2, dtype=torch.complex64), "uint16": torch.zeros(2, dtype=torch.uint16),
    "float8": torch.zeros(2).to(torch.float8_e4m3fn), "sparse": torch.eye(2).to_sparse(), "csr": torch.eye(2).to_sparse_csr(),
    "quantized": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "meta": torch.ones(2, device="meta"),
    "complex_parameter": torch.nn.Parameter(torch.zeros(2, dtype=torch.complex128)), "rng": torch.Generator(),
}  # fmt: skip
for name, options in {
    "objects.pt": {}, "objects_1.pt": {"pickle_protocol": 1}, "objects_4.pt": {"pickle_protocol": 4},
    "objects_5.pt": {"pickle_protocol": 5}, "legacy_objects.pt": old,
}.items():  # fmt: skip
    # Python's protocol 1 has no place for slots.
    some = {key: value for key, value in opaque.items() if name != "objects_1.pt" or key != "slots"}
    save(name, {"state_dict": model.state_dict(), "known": known, "opaque": some}, model.state_dict(), **options)

path = lambda name: os.path.join(folder, name)
torch.save({"weight": torch.ones(2), "evil": Evil()}, path("evil.pt"))
model.register_buffer("unsaved", torch.ones(1), persistent=False)
torch.save(model, path("pickled_module.pt"))
torch.save({"weight": torch.ones(2), "evil": Evil()}, path("legacy_evil.pt"), **old)
torch.save(model, path("legacy_module.pt"), **old)
with tarfile.open(path("old.tar"), "w", format=tarfile.PAX_FORMAT) as target:
    target.addfile(tarfile.TarInfo("sys_info"), io.BytesIO())
torch.jit.script(torch.nn.Linear(2, 2)).save(path("script.pt"))
with zipfile.ZipFile(path("state_dict.pt")) as source, zipfile.ZipFile(path("compressed.pt"), "w", zipfile.ZIP_DEFLATED) as target:
    for name in source.namelist():
        target.writestr(name, source.read(name))
with zipfile.ZipFile(path("other.zip"), "w") as target:
    target.writestr("hello.txt", "hello")
print(json.dumps(expected))
