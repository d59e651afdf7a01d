"""Set operations on subset files, by NumPy and collections.Counter, against the files of a folder.

The folder holds a, b, c as raw 16-byte records, and <operation>-<set|multiset>.npy as Shardsieve wrote them.
Usage: python subset_sets.py FOLDER
"""

import io
import json
import sys
from collections import Counter
from functools import reduce
from pathlib import Path

import numpy as np

DTYPE = np.dtype("u8,u8")


def saved(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def from_counts(counts):
    return np.sort(np.array(list(counts.elements()), dtype=DTYPE))


def main(folder):
    files = [np.fromfile(folder / name, dtype=DTYPE) for name in "abc"]
    counters = [Counter(values.tolist()) for values in files]
    first, *rest = counters
    whole = np.sort(np.concatenate(files))
    expected = {
        "union-set": reduce(np.union1d, files),
        "intersect-set": reduce(np.intersect1d, files),
        "minus-set": reduce(np.setdiff1d, files),
        "sum-set": whole,
        "sum-multiset": whole,
        "union-multiset": from_counts(reduce(lambda a, b: a | b, counters)),
        "intersect-multiset": from_counts(reduce(lambda a, b: a & b, counters)),
        "minus-multiset": from_counts(reduce(lambda a, b: a - b, rest, first)),
    }
    differing = [name for name, values in expected.items() if saved(values) != (folder / f"{name}.npy").read_bytes()]
    print(json.dumps({"compared": len(expected), "differing": differing}))


main(Path(sys.argv[1]))
