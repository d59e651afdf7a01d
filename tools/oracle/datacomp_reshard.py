"""Runs DataComp's own resharder over a folder of shards, with one worker, which keeps the input order.

    python tools/oracle/datacomp_reshard.py DATACOMP SHARDS SUBSET OUT [--seed N] [options of resharder.py]

DATACOMP: a checkout of github.com/mlfoundations/datacomp (commit 4a8df19). SHARDS needs `<shard>_stats.json` or
`sizes.json`. Needs requirements-reshard.txt: webdataset 0.2.48 still has what it patches, img2dataset 1.40.0 is the
blur that DataComp pins. `--seed` hands the shuffle buffer `random.Random(N)`, which by itself takes the clock.
"""
import functools
import os
import pathlib
import random
import sys

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"


def main():
    datacomp, shards, subset, out, *options = sys.argv[1:]
    sys.path.insert(0, datacomp)
    import multiprocessing

    # The workers must inherit what is patched.
    multiprocessing.set_start_method("fork", force=True)
    import resharder

    if options[:1] == ["--seed"]:
        filters = resharder.wds.filters
        filters._shuffle = functools.partial(filters._shuffle, rng=random.Random(int(options[1])))
        options = options[2:]
    pathlib.Path(out).mkdir(parents=True, exist_ok=True)
    resharder.main(resharder.parser.parse_args(["-i", shards, "-o", out, "-s", subset, "-j", "1", *options]))


if __name__ == "__main__":
    main()
