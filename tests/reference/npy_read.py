"""Prints the shape, dtype and values of a .npy file as JSON."""

import json
import sys

import numpy as np

array = np.load(sys.argv[1], allow_pickle=False)
values = [float(value) if np.isfinite(value) else str(value) for value in array.ravel()]
print(json.dumps({"shape": list(array.shape), "dtype": str(array.dtype), "values": values}))
