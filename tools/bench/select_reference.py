"""DataComp's own steps of selection, timed: what `tools/bench/select.ts` compares with.

    python tools/bench/select_reference.py DATACOMP METADATA OUT.npy CASE [--workers 2]

DATACOMP: a checkout of github.com/mlfoundations/datacomp, whose functions are called. CASE:

- `clip_score`: its baseline for the best 30% by `clip_l14_similarity_score`, as it is.
- `basic_filter`: its baseline, with the language read from the column `lang_fasttext` in place of a model's answer,
  because language identification is not what is timed here.
- `where`: it has no such filter; its steps of `clip_score` (read, sort for the threshold, mask, uid pairs) over the
  rows that also are English and at least 200 pixels a side. The fraction is of the whole pool, as in its
  `image_based_intersect_clip_score`.

Then sorts and saves as its `apply_filter` does. Modules that these steps do not use are replaced by empty ones, so
their import costs nothing. Prints JSON: rows of the pool, rows kept, seconds after the imports, peak memory in MB of
this process and of the largest of its workers.
"""
import argparse
import contextlib
import json
import resource
import sys
import time
import types
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

KEY = "clip_l14_similarity_score"
FRACTION = 0.3


def baseline(datacomp):
    """DataComp's module, without the packages that these steps never reach."""
    for name in ["fasttext", "gcld3", "nltk", "nltk.corpus", "torch"]:
        sys.modules[name] = types.ModuleType(name)
    sys.modules["fasttext"].FastText = SimpleNamespace()
    sys.modules["nltk.corpus"].wordnet = None
    sys.modules["torch"].no_grad = lambda: lambda function: function
    sys.modules["torch"].Tensor = object
    sys.path.insert(0, datacomp)
    from baselines import apply_filter

    return apply_filter


class Languages:
    """Hands out the column's values in the order in which the baseline asks for them, one a caption."""

    def __init__(self, module):
        self.values = iter(())
        read = pd.read_parquet

        def read_both(url, columns, filesystem):
            frame = read(url, columns=[*columns, "lang_fasttext"], filesystem=filesystem)
            self.values = iter(frame["lang_fasttext"].tolist())
            return frame

        module.pd = SimpleNamespace(read_parquet=read_both, DataFrame=pd.DataFrame)
        module.get_fasttext_language = lambda text, model: next(self.values)
        module.download = lambda *_: ""
        sys.modules["fasttext"].load_model = lambda _: None


def where_helper(fs_url, threshold):
    fs, url = fs_url
    columns = ["uid", KEY, "lang_fasttext", "original_width", "original_height"]
    df = pd.read_parquet(url, columns=columns, filesystem=fs)
    mask = (df["lang_fasttext"] == "en") & (np.minimum(df.original_width, df.original_height) >= 200)
    kept = df[mask & (df[KEY] >= threshold)]["uid"].values
    return np.array([(int(uid[:16], 16), int(uid[16:32], 16)) for uid in kept], np.dtype("u8,u8"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("datacomp")
    parser.add_argument("metadata")
    parser.add_argument("out")
    parser.add_argument("case", choices=["clip_score", "basic_filter", "where"])
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    module = baseline(args.datacomp)
    started = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        if args.case == "clip_score":
            uids = module.load_uids_with_clip_score(args.metadata, "l14", None, FRACTION, args.workers)
        elif args.case == "basic_filter":
            Languages(module)
            uids = module.load_uids_with_basic_filter(args.metadata, args.workers)
        else:
            threshold = module.get_threshold(args.metadata, KEY, FRACTION, args.workers)
            fs, url = module.fsspec.core.url_to_fs(args.metadata)
            paths = [(fs, str(path)) for path in fs.ls(url) if ".parquet" in path]
            worker = partial(where_helper, threshold=threshold)
            uids = module.worker_threadpool(worker, np.concatenate, paths, args.workers)
    uids.sort()
    np.save(args.out, uids)
    seconds = time.perf_counter() - started
    fs, url = module.fsspec.core.url_to_fs(args.metadata)
    rows = sum(pq.read_metadata(path).num_rows for path in fs.ls(url) if ".parquet" in path)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    worker_peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(json.dumps({"rows": rows, "kept": len(uids), "seconds": round(seconds, 3), "peak_mb": round(peak),
                      "worker_peak_mb": round(worker_peak)}))


if __name__ == "__main__":
    main()
