"""Goldens for test/safety/pdq.test.ts from PyPI's pdqhash (Meta's C++ reference, bound to Python).

    pip install -r tools/oracle/requirements-pdq.txt && python tools/oracle/pdq_goldens.py

Writes test/fixtures/pdq/golden.json: hash and quality of the pictures in a demo shard, decoded by Pillow, and of
pictures that the test draws again from the same integer formula (`drawn` here and in test/safety/drawn.ts).
"""
import io
import json
import pathlib
import tarfile

import numpy as np
import pdqhash
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARD = ROOT / "demo" / "shards" / "demo-00000.tar"
OUT = ROOT / "test" / "fixtures" / "pdq" / "golden.json"
KINDS = ["waves", "noise", "flat", "mirror", "checks"]
SIZES = [(4, 9), (5, 5), (63, 64), (64, 64), (64, 65), (127, 129), (128, 128), (33, 700), (700, 33), (512, 512), (640, 481)]


def drawn(kind, width, height):
    """uint8 [height, width, 3], by integer arithmetic only."""
    y, x = np.mgrid[:height, :width].astype(np.int64)
    if kind == "mirror":
        x = np.minimum(x, width - 1 - x)
    planes = []
    for c in range(3):
        if kind == "flat":
            v = np.full((height, width), 17 + 100 * c)
        elif kind == "noise":
            v = ((x * 7919 + y * 104729 + c * 1299709) * 2654435761 % 2**32) >> 24
        elif kind == "checks":
            v = (x // 32 + y // 32 + c) % 2 * 255
        else:
            v = (np.abs((x * (3 + c) + y * 2) % 510 - 255) + np.abs((y * (5 - c) + x) % 510 - 255)) // 2
        planes.append(v)
    return np.ascontiguousarray(np.stack(planes, axis=2).astype(np.uint8))


def hashed(pixels):
    vector, quality = pdqhash.compute(pixels)
    return [f"{int(''.join(map(str, vector)), 2):064x}", int(quality)]


def main():
    pictures = {}
    with tarfile.open(SHARD) as tar:
        for member in tar:
            if not member.name.endswith((".txt", ".json")):
                image = Image.open(io.BytesIO(tar.extractfile(member).read())).convert("RGB")
                pictures[member.name] = hashed(np.asarray(image).copy())
    # Past what is filtered as it is: each pixel of a small picture repeated.
    large = hashed(np.ascontiguousarray(drawn("waves", 500, 400).repeat(10, axis=0).repeat(10, axis=1)))
    made = [[kind, w, h, *hashed(drawn(kind, w, h))] for kind in KINDS for w, h in SIZES]
    OUT.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"pdqhash": pdqhash.__version__, "pillow": Image.__version__})[:-1]]
    lines.append(',\n"pictures": {\n' + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in pictures.items()) + "}")
    lines.append(f',\n"large": {json.dumps(large)}')
    lines.append(',\n"drawn": [\n' + ",\n".join(json.dumps(row) for row in made) + "]}\n")
    OUT.write_text("".join(lines))


if __name__ == "__main__":
    main()
