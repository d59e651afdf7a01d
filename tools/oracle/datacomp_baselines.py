"""Runs DataComp's own baselines, all of them, over a metadata folder.

    NLTK_DATA=… python tools/oracle/datacomp_baselines.py DATACOMP METADATA CASES OUT --fasttext FILE --list FILE
        --assets FOLDER [--golden FILE] [--columns FILE]

DATACOMP: a checkout of github.com/mlfoundations/datacomp (goldens: commit 4a8df19). METADATA: parquet and npz. CASES:
JSON lines with what baselines.py takes, `{"name": "clip_score", "arch": "l14", "fraction": 0.3}`, and `files`, base
names, for a run on a part of the folder; the goldens are such a file, what they say of the outcome is not read.
Writes OUT/<i>.npy and prints one JSON line a case, or writes them to --golden: the case, `rows`, `sha256` of the npy,
and `mask`, hex, one bit a row of METADATA (files by name, rows in their order, first row = highest bit of the first
byte): whether the row is in one of the case's files and its uid in the subset. A case that DataComp ends with an exception has `error`, its class, instead.

--columns: writes what decides, one JSON array a row of METADATA: file, row, fasttext's language and probability, cld3's
language, words, code points, fasttext tokens, whether text_based finds an entity, nearest centroid.

What runs is baselines/apply_filter.py in the versions DataComp pins (requirements-datacomp.txt), its process pools
included. Changed in a copy of it, each change asserted to meet its line once:

- `cuda:N` is `cpu`.
- `download` gives local files: --fasttext for lid.176.bin (goldens: lid.176.ftz of npm's fasttext.wasm.js 1.0.0, which
  Shardsieve has too; the two models differ a little), --list for ImageNet-21k's list (PyPI's timm, the sha256 that
  DataComp demands), and <assets>/small_centroids.pt, in1k_clip_vit_l14_{0..4}.pt for the centroids and ImageNet-1k's
  embeddings (goldens: small seeded ones of baselines_pool.py).
- `nltk.download("wordnet")` is nothing: NLTK_DATA has WordNet 3.0 from Debian (wordnet_corpus.py).
"""
import argparse
import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import sys
import tempfile
from types import SimpleNamespace

DOWNLOAD = '''

def download(name, root=None):
    return os.path.join(os.environ["BASELINES_DOWNLOADS"], name)
'''


def patched(datacomp, into):
    """A copy of DataComp's baselines that runs here; its spawned processes find it by sys.path."""
    package = into / "baselines"
    shutil.copytree(pathlib.Path(datacomp) / "baselines", package)
    source = (package / "apply_filter.py").read_text()
    for old, new in [('f"cuda:{device}"', '"cpu"'), ('nltk.download("wordnet")', "pass")]:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    (package / "apply_filter.py").write_text(source)
    with (package / "utils.py").open("a") as utils:
        utils.write(DOWNLOAD)
    sys.path.insert(0, str(into))


def downloads(args, into):
    """DataComp's downloads under the names that its code asks for."""
    into.mkdir()
    os.environ["BASELINES_DOWNLOADS"] = str(into)
    files = {"fasttext": args.fasttext, "imagenet21k_wordnet_ids": args.list}
    for name in ["small_centroids", *(f"in1k_clip_vit_l14_{i}" for i in range(5))]:
        files[name] = pathlib.Path(args.assets) / f"{name}.pt"
    for name, file in files.items():
        (into / name).symlink_to(pathlib.Path(file).resolve())


def read_cases(file):
    lines = [json.loads(line) for line in pathlib.Path(file).read_text().splitlines()]
    asked = ["name", "arch", "threshold", "fraction", "files"]
    return [{key: line[key] for key in asked if key in line} for line in lines]


def part_of(metadata, names, into):
    into.mkdir()
    for file in sorted(metadata.iterdir()):
        if names is None or file.stem in names:
            (into / file.name).symlink_to(file.resolve())
    return into


def run(apply_filter, case, metadata, out):
    args = SimpleNamespace(name=case["name"], metadata_dir=str(metadata), save_path=str(out), arch=case.get("arch"),
                           threshold=case.get("threshold"), fraction=case.get("fraction"), num_workers=2, num_gpus=1,
                           batch_size=64, image_based_scale="small")
    with contextlib.redirect_stdout(sys.stderr):
        apply_filter.apply_filter(args)


def frames(metadata):
    import pandas as pd

    return {file.stem: pd.read_parquet(file) for file in sorted(metadata.glob("*.parquet"))}


def mask(tables, case, npy):
    import numpy as np

    kept = {f"{high:016x}{low:016x}" for high, low in np.load(npy)}
    names = case.get("files", list(tables))
    bits = np.concatenate([table.uid.isin(kept) & (name in names) for name, table in tables.items()])
    return np.packbits(bits).tobytes().hex()


def columns(tables, metadata, args):
    import fasttext
    import gcld3
    import numpy as np
    import torch
    from baselines import apply_filter
    from baselines.utils import download

    lid = fasttext.load_model(args.fasttext)
    cld = gcld3.NNetLanguageIdentifier(min_num_bytes=0, max_num_bytes=1000)
    entities = {int(line[1:]) for line in open(args.list).read().split()}
    centroids = torch.from_numpy(torch.load(download("small_centroids")))
    for name, table in tables.items():
        images = torch.from_numpy(np.load(metadata / f"{name}.npz")["l14_img"])
        nearest = apply_filter.get_centroid_ids_gpu(images, centroids, 64, 0).tolist()
        for row, text in enumerate(table.text):
            (label,), (probability,) = lid.predict(text.replace("\n", " "))
            yield [name, row, label[len("__label__"):], float(probability),
                   apply_filter.get_gcld3_language(text, cld), len(text.split()), len(text),
                   len(fasttext.tokenize(text)), apply_filter.does_contain_text_entity(text, entities), nearest[row]]


def write_lines(values, file):
    lines = "".join(json.dumps(value) + "\n" for value in values)
    if file is None:
        sys.stdout.write(lines)
    else:
        pathlib.Path(file).write_text(lines)


def main():
    parser = argparse.ArgumentParser(description="see the top of this file")
    for name in ["datacomp", "metadata", "cases", "out"]:
        parser.add_argument(name)
    for name in ["--fasttext", "--list", "--assets"]:
        parser.add_argument(name, required=True)
    for name in ["--golden", "--columns"]:
        parser.add_argument(name)
    args = parser.parse_args()
    out, metadata = pathlib.Path(args.out), pathlib.Path(args.metadata)
    out.mkdir(parents=True, exist_ok=True)
    cases = read_cases(args.cases)
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        patched(args.datacomp, work)
        downloads(args, work / "downloads")
        from baselines import apply_filter

        tables = frames(metadata)
        lines = []
        for i, case in enumerate(cases):
            npy = out / f"{i}.npy"
            try:
                run(apply_filter, case, part_of(metadata, case.get("files"), work / f"case-{i}"), npy)
            except Exception as error:  # what DataComp's code cannot do is part of the truth
                lines.append({**case, "error": type(error).__name__})
                continue
            data = npy.read_bytes()
            lines.append({**case, "rows": (len(data) - 128) // 16, "sha256": hashlib.sha256(data).hexdigest(),
                          "mask": mask(tables, case, npy)})
        write_lines(lines, args.golden)
        if args.columns:
            write_lines(columns(tables, metadata, args), args.columns)


if __name__ == "__main__":
    main()
