"""Runs DataComp's own resharder over a folder of shards, with one worker, which keeps the input order.

    python tools/oracle/datacomp_reshard.py DATACOMP SHARDS SUBSET OUT [SHARD_SIZE]

DATACOMP: a checkout of github.com/mlfoundations/datacomp (commit 4a8df19). SHARDS needs `<shard>_stats.json` or
`sizes.json`. Needs webdataset 0.2.48, which still has what it patches; what only blurring and clouds use is replaced by empty modules, and simdjson
by json.
"""
import json
import pathlib
import sys
import types


def stand_in(name, **content):
    module = sys.modules[name] = types.ModuleType(name)
    module.__dict__.update(content)


class Parser:
    def parse(self, text):
        return json.loads(text)


def main():
    datacomp, shards, subset, out, *size = sys.argv[1:]
    stand_in("cv2")
    stand_in("simdjson", Parser=Parser, load=json.load, dump=json.dump, dumps=json.dumps)
    stand_in("cloudpathlib", CloudPath=type("CloudPath", (), {}))
    stand_in("cloudpathlib.enums", FileCacheMode=types.SimpleNamespace(close_file=types.SimpleNamespace(name="x")))
    stand_in("img2dataset")
    stand_in("img2dataset.blurrer", BoundingBoxBlurrer=type("BoundingBoxBlurrer", (), {}))
    sys.path.insert(0, datacomp)
    import multiprocessing

    # The workers must inherit the stand-ins.
    multiprocessing.set_start_method("fork", force=True)
    import resharder

    pathlib.Path(out).mkdir(parents=True, exist_ok=True)
    arguments = ["-i", shards, "-o", out, "-s", subset, "-j", "1", *(["--shard-size", size[0]] if size else [])]
    resharder.main(resharder.parser.parse_args(arguments))


if __name__ == "__main__":
    main()
