"""Reads resharded shards with Python's tarfile and with webdataset, and prints what each found as JSON.

    python tools/oracle/reshard_check.py SHARDS

Versions in requirements.txt.
"""
import hashlib
import json
import pathlib
import sys
import tarfile

import webdataset as wds


def main():
    shards = {}
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.tar")):
        with tarfile.open(path) as tar:
            members = {}
            for info in tar:
                assert info.isreg() and info.name not in members, info.name
                members[info.name] = hashlib.sha256(tar.extractfile(info).read()).hexdigest()
        samples = [
            {"key": sample["__key__"], "extensions": sorted(name for name in sample if not name.startswith("__"))}
            for sample in wds.WebDataset(str(path), shardshuffle=False)
        ]
        shards[path.name] = {"members": members, "samples": samples}
    print(json.dumps(shards))


if __name__ == "__main__":
    main()
