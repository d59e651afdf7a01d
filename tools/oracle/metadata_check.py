"""Reads a metadata folder as people do, and prints what was read as JSON.

    python tools/oracle/metadata_check.py METADATA

pandas for the parquets, pyarrow for their schema, np.load for the npz. Versions in requirements.txt.
"""
import json
import pathlib
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq


def plain(value):
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value]
    return None if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)) else value


def main():
    shards = {}
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.parquet")):
        frame = pd.read_parquet(path)
        shard = {
            "dtypes": {name: str(dtype) for name, dtype in frame.dtypes.items()},
            "schema": {field.name: str(field.type) for field in pq.read_schema(path)},
            "rows": [{name: plain(value) for name, value in row.items()} for row in frame.to_dict("records")],
        }
        npz = path.with_suffix(".npz")
        if npz.exists():
            arrays = np.load(npz)
            shard["npz"] = {name: {"dtype": str(arrays[name].dtype), "shape": list(arrays[name].shape),
                                   "values": arrays[name].astype(float).ravel().tolist()} for name in arrays}
        shards[path.stem] = shard
    print(json.dumps(shards))


if __name__ == "__main__":
    main()
