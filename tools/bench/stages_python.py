"""The Python side of stages.ts: python stages_python.py MODEL_DIR SHARD... [--seconds 2]. One JSON line at the end.

Rates are per processor second of one thread, but for tar and writing, which are per second of the wall; towers use all
threads and are told as processor seconds an item too. Each is the best of the passes that fit into --seconds, three at
the least.
"""

import argparse
import io
import json
import os
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import open_clip
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import webdataset as wds
from PIL import Image

ROWS = 10_000
DIM = 512
CAPTIONS = 5_000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("shards", nargs="+")
    parser.add_argument("--seconds", type=float, default=2)
    args = parser.parse_args()
    spec = f"local-dir:{Path(args.model).resolve()}"
    model, _, preprocess = open_clip.create_model_and_transforms(spec)
    model.eval()
    tokenizer = open_clip.get_tokenizer(spec)

    def least(run):
        wall, cpu, begin, passes = float("inf"), float("inf"), time.perf_counter(), 0
        while passes < 3 or time.perf_counter() - begin < args.seconds:
            start = time.perf_counter(), time.process_time()
            run()
            wall, cpu = min(wall, time.perf_counter() - start[0]), min(cpu, time.process_time() - start[1])
            passes += 1
        return {"wall": wall, "cpu": cpu}

    def best(run):
        return least(run)["cpu"]

    pictures, captions = [], []
    for shard in args.shards:
        with tarfile.open(shard) as tar:
            for member in tar:
                data = tar.extractfile(member).read()
                (captions if member.name.endswith(".txt") else pictures).append(data)
    captions = [text.decode() for text in captions]
    some = pictures[:64]
    many = [turned(captions[i % len(captions)], i // len(captions)) for i in range(CAPTIONS)]
    size = sum(os.path.getsize(shard) for shard in args.shards)

    def read():
        for _ in wds.WebDataset(args.shards * 4, shardshuffle=False):
            pass

    def write():
        rng = np.random.default_rng(0)
        uids = [f"{i:032x}" for i in range(ROWS)]
        table = pa.table({
            "uid": uids, "key": uids, "text": [f"a caption of a picture, number {i}" for i in range(ROWS)],
            "url": [f"https://example.com/{i}" for i in range(ROWS)], "sha256": ["ab" * 32] * ROWS,
            "width": [640] * ROWS, "height": [480] * ROWS, "score": rng.random(ROWS, dtype=np.float32),
        })
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            pq.write_table(table, f"{folder}/a.parquet")
            half = embeddings.astype(np.float16)
            np.savez(f"{folder}/a.npz", img=half, txt=half)
            return time.perf_counter() - start

    embeddings = np.random.default_rng(0).standard_normal((ROWS, DIM), dtype=np.float32)
    torch.set_num_threads(1)
    decoded = [Image.open(io.BytesIO(data)).convert("RGB") for data in some]
    said = {
        "tar": 4 * size / 1e6 / least(read)["wall"],
        "decode": len(some) / best(lambda: [Image.open(io.BytesIO(data)).convert("RGB") for data in some]),
        "preprocess": len(some) / best(lambda: [preprocess(picture) for picture in decoded]),
        "tokenizer": len(many) / best(lambda: tokenizer(many)),
        "write": ROWS / min(write() for _ in range(3)),
        "towers": {},
    }
    torch.set_num_threads(os.cpu_count())
    ids = tokenizer(captions[:32])
    for precision in ("fp32", "bf16"):
        kind = torch.float32 if precision == "fp32" else torch.bfloat16
        model.to(kind)
        batch = torch.stack([preprocess(picture) for picture in decoded[:16]]).to(kind)
        with torch.no_grad():
            said["towers"][precision] = {
                name: {"wall": n / took["wall"], "cpu": took["cpu"] / n}
                for name, n, took in (
                    ("image", len(batch), least(lambda: model.encode_image(batch, normalize=True))),
                    ("caption", len(ids), least(lambda: model.encode_text(ids, normalize=True))),
                )
            }
    print(json.dumps(said))


def turned(caption, by):
    """The same words in another order, so that no side answers from a memory of whole captions."""
    words = caption.split(" ")
    by %= len(words)
    return " ".join(words[by:] + words[:by])


main()
