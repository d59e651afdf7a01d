"""A small pool, and what DataComp's own resharder makes of it.

    python tools/oracle/reshard_goldens.py DATACOMP test/fixtures/subset/datacomp

Needs requirements-reshard.txt. The pool: three shards (number 2 is missing) of seeded JPEGs, one sample without JSON,
one whose JSON has numbers and escapes that reading and writing would change; a subset with repeats and a uid that no
sample has; metadata with boxes of faces for some. Writes `pool/`, `subset.npy`, `metadata.parquet`, and for each case
`<case>.json`: the members of each output shard in order with their SHA-256, and the small files beside them; the WebP
pictures of the blurred case as they are.
"""
import hashlib
import io
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SHARDS = (0, 1, 3)
PER_SHARD = 6
CASES = {
    "plain": [],
    "small": ["--shard-size", "4"],
    "range": ["--first-shard", "1", "--num-shards", "3"],
    "shuffled": ["--seed", "5", "--shuffle-bufsize", "6"],
    "blurred": ["--apply-blur", "--inject-blur-metadata"],
    "injected": ["--inject-blur-metadata"],
}


def uid(i):
    return hashlib.md5(f"sample {i}".encode()).hexdigest()


def jpeg(i):
    rng = np.random.default_rng(i)
    width, height = 56 + i % 5, 40 + i % 3
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    smooth = np.stack([x * 4 + 9 * i, y * 5, (x + y) * 2 + 20], axis=-1) % 256
    picture = np.clip(smooth + rng.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def add(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def make_pool(out):
    pool = out / "pool"
    pool.mkdir(parents=True, exist_ok=True)
    for place, shard in enumerate(SHARDS):
        with tarfile.open(pool / f"{shard:08d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for j in range(PER_SHARD):
                i = place * PER_SHARD + j
                key = f"{i:09d}"
                about = f'{{"uid": "{uid(i)}", "key": "{key}", "wide": 12345678901234567890, "exp": 1.50e2, "word": "caf\\u00e9"}}'
                if i != 8:
                    add(tar, f"{key}.json", about.encode())
                add(tar, f"{key}.jpg", jpeg(i))
                add(tar, f"{key}.txt", f"caption {i}".encode())
        (pool / f"{shard:08d}_stats.json").write_text(json.dumps({"successes": PER_SHARD}) + "\n")


def make_subset(out):
    kept = [0, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 14, 16, 17, 99] + [3, 3, 12]
    ids = sorted((int(uid(i)[:16], 16), int(uid(i)[16:], 16)) for i in kept)
    np.save(out / "subset.npy", np.array(ids, dtype="u8,u8"))


def make_metadata(out):
    boxes = {0: [[0.2, 0.2, 0.5, 0.6]], 3: [[0.1, 0.1, 0.3, 0.4], [0.6, 0.5, 0.9, 0.95]], 12: [[-0.1, 0.3, 0.4, 1.2]]}
    count = len(SHARDS) * PER_SHARD
    face_bboxes = [boxes.get(i, [] if i % 2 else None) for i in range(count)]
    table = pa.table(
        {
            "uid": [uid(i) for i in range(count)],
            "face_bboxes": pa.array(face_bboxes, type=pa.list_(pa.list_(pa.float64()))),
        }
    )
    pq.write_table(table, out / "metadata.parquet")


def run(datacomp, out, name, options):
    with tempfile.TemporaryDirectory() as scratch:
        target = pathlib.Path(scratch) / "out"
        script = pathlib.Path(__file__).with_name("datacomp_reshard.py")
        if name in ("blurred", "injected"):
            shards = [str(out / "pool" / f"{shard:08d}.tar") for shard in SHARDS]
            map_file = pathlib.Path(scratch) / "map.json"
            map_file.write_text(json.dumps({"all": {"parquet": str(out / "metadata.parquet"), "shards": shards}}))
            options = [*options, "--blur-metadata-map", str(map_file)]
        command = [sys.executable, script, datacomp, out / "pool", out / "subset.npy", target, *options]
        subprocess.run([str(part) for part in command], check=True, capture_output=True)
        shards = {}
        for path in sorted(target.glob("*.tar")):
            with tarfile.open(path) as tar:
                members = [(info.name, tar.extractfile(info).read()) for info in tar]
            shards[path.name] = [[member, hashlib.sha256(data).hexdigest()] for member, data in members]
            for member, data in members:
                if name == "blurred" and member.endswith("-0.webp"):
                    (out / member).write_bytes(data)
                if name == "injected" and member.startswith(uid(3) + "-0.json"):
                    (out / "injected-sample.json").write_bytes(data)
        stats = {path.name: json.loads(path.read_text()) for path in sorted(target.glob("*_stats.json"))}
        meta = json.loads((target / "meta.json").read_text())
        counts = {key: meta[key] for key in ("processed_count", "output_count", "output_shard_count", "output_shard_format", "blur_count")}
        ids = hashlib.sha256((target / "sample_ids.npy").read_bytes()).hexdigest()
        golden = {"shards": shards, "stats": stats, "meta": counts, "sample_ids": ids}
        (out / f"{name}.json").write_text(json.dumps(golden, indent=1) + "\n")


def main():
    datacomp, out = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    make_pool(out)
    make_subset(out)
    make_metadata(out)
    for name, options in CASES.items():
        run(datacomp, out, name, options)


if __name__ == "__main__":
    main()
