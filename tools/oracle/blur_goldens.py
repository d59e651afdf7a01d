"""Pictures with blurred boxes by img2dataset's own BoundingBoxBlurrer, as DataComp's resharder applies it.

    python tools/oracle/blur_goldens.py test/fixtures/subset/blur

Needs img2dataset 1.40.0 (the version that DataComp pins; 1.47.0 has another, weaker Gaussian), albumentations 1.4.24,
opencv-python-headless 4.14.0.94, numpy 2.4.6. The picture is seeded noise over a gradient. Writes `picture.png`,
`cases.json` (boxes by name) and `<name>.png`, and `python.json`: draws of random.Random for the shuffle buffer, and
orders of webdataset 0.2.48's `_shuffle`.
"""
import json
import pathlib
import random
import sys

import cv2
import numpy as np
from img2dataset.blurrer import BoundingBoxBlurrer
from webdataset.filters import _shuffle

CASES = {
    "one": [[0.3, 0.2, 0.6, 0.7]],
    "two-far": [[0.05, 0.1, 0.15, 0.3], [0.8, 0.7, 0.95, 0.9]],
    "overlapping": [[0.2, 0.2, 0.5, 0.5], [0.4, 0.4, 0.7, 0.8]],
    "at-the-edge": [[0.0, 0.0, 0.2, 0.3], [0.9, 0.85, 1.0, 1.0]],
    "partly-outside": [[-0.2, 0.4, 0.1, 0.6], [0.9, -0.5, 1.4, 0.2]],
    "whole": [[0.0, 0.0, 1.0, 1.0]],
    "thin": [[0.5, 0.1, 0.505, 0.9]],
    "less-than-a-pixel": [[0.5, 0.5, 0.501, 0.501]],
}


def picture(width=96, height=64):
    rng = np.random.default_rng(11)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    base = np.stack([x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)], axis=-1)
    return np.clip(base + rng.normal(0, 40, base.shape), 0, 255).astype(np.uint8)


def orders():
    for seed, size, count in [(0, 8, 40), (1, 1, 10), (7, 100, 250), (2**40 + 5, 16, 30), (3, 50, 20)]:
        order = list(_shuffle(iter(range(count)), size, size, random.Random(seed)))
        yield {"seed": seed, "size": size, "count": count, "order": order}


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    image = picture()
    cv2.imwrite(str(out / "picture.png"), image)
    blurrer = BoundingBoxBlurrer()
    for name, boxes in CASES.items():
        cv2.imwrite(str(out / f"{name}.png"), blurrer(image, boxes))
    (out / "cases.json").write_text(json.dumps(CASES) + "\n")
    draws = [
        {"seed": seed, "below": below, "drawn": [rng.randrange(below) for _ in range(12)]}
        for seed in (0, 1, 12345, 2**32, 2**53 - 1)
        for below in (1, 2, 1000, 2**31)
        for rng in [random.Random(seed)]
    ]
    (out / "python.json").write_text(json.dumps({"draws": draws, "orders": list(orders())}) + "\n")


if __name__ == "__main__":
    main()
