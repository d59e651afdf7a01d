"""Files as torch writes them, for the reader that has no torch.

    python tools/oracle/torch_files.py test/fixtures/torch

Needs torch and NumPy (versions in the README beside the fixtures). Every matrix is arange(12).reshape(3, 4) / 8, which
all float types hold exactly.
"""

import collections
import sys
from pathlib import Path

import numpy as np
import torch


def main(out):
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    x = torch.arange(12, dtype=torch.float32).reshape(3, 4) / 8
    wide = torch.cat([torch.zeros(3, 2), x, torch.ones(3, 1)], 1)
    files = {
        # DataComp's ImageNet features: a dict with a tensor and what else lies there.
        "dict": {"image_features": x.half(), "labels": torch.arange(3), "n": 3, "f": 1.5, "l": [1, 2], "none": None},
        "two": {"a": x, "b": x.double()},
        "ordered": collections.OrderedDict(a=x),
        "half": x.half(),
        "bfloat16": x.bfloat16(),
        "double": x.double(),
        "transposed": x.T.contiguous().T,
        "slice": wide[:, 2:6],
        "tail": torch.cat([torch.zeros(5, 4), x])[5:],
        "expanded": torch.ones(1, 4).expand(3, 4),
        "integers": torch.arange(12).reshape(3, 4),
        "cube": torch.zeros(2, 2, 2),
    }
    for name, value in files.items():
        torch.save(value, out / f"{name}.pt")
    torch.save(torch.nn.Parameter(x), out / "parameter.pt")
    # DataComp's centroids: a NumPy array, pickled with protocol 4 by its script.
    for protocol in (2, 4, 5):
        torch.save(x.numpy(), out / f"numpy-{protocol}.pt", pickle_protocol=protocol)
    torch.save(np.asfortranarray(x.numpy().astype("f8")), out / "numpy-fortran.pt", pickle_protocol=4)
    torch.save(x.numpy().astype(">f4"), out / "numpy-big-endian.pt", pickle_protocol=4)
    torch.save(x, out / "legacy.pt", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main(sys.argv[1])
