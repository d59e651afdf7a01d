"""Runs DataComp's own clip_score baseline over a metadata folder.

    python tools/oracle/datacomp_select.py DATACOMP METADATA ARCH CASES OUT

DATACOMP: a checkout of github.com/mlfoundations/datacomp (goldens: commit 4a8df19). CASES: JSON list of
`{"threshold": t}` or `{"fraction": f}`. Writes OUT/<i>.npy with DataComp's `apply_filter`, and prints one JSON line a
case: rows and the file's SHA-256. Heavy imports that the baseline does not use are replaced by empty modules.
"""
import contextlib
import hashlib
import json
import pathlib
import sys
import types
from types import SimpleNamespace


def main():
    datacomp, metadata, arch, cases, out = sys.argv[1:]
    for name in ["fasttext", "gcld3", "nltk", "nltk.corpus", "nltk.corpus.wordnet"]:
        sys.modules[name] = types.ModuleType(name)
    sys.modules["fasttext"].FastText = SimpleNamespace()
    sys.modules["nltk.corpus"].wordnet = sys.modules["nltk.corpus.wordnet"]
    sys.path.insert(0, datacomp)
    from baselines import apply_filter

    # A pool of processes would import this module again, without the stand-ins; the functions are DataComp's own.
    apply_filter.worker_threadpool = lambda worker, concat, paths, _: concat([worker(path) for path in paths])
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for i, case in enumerate(json.loads(cases)):
        path = out / f"{i}.npy"
        args = SimpleNamespace(name="clip_score", metadata_dir=metadata, save_path=str(path), arch=arch,
                               threshold=case.get("threshold"), fraction=case.get("fraction"), num_workers=2,
                               num_gpus=0, batch_size=1, image_based_scale=None)
        with contextlib.redirect_stdout(sys.stderr):
            apply_filter.apply_filter(args)
        data = path.read_bytes()
        rows = (len(data) - 128) // 16
        print(json.dumps({**case, "rows": rows, "sha256": hashlib.sha256(data).hexdigest()}))


if __name__ == "__main__":
    main()
