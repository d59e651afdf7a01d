"""Drawings with a harmless label shaped like an unsafe one: weapons, alcohol and skulls against the rest.

Usage: make_pool.py OPENCLIPART OUT

OPENCLIPART is the folder `openclipart` of Debian's openclipart-png (0.18+dfsg-19): /usr/share/openclipart. Writes
OUT/drawings.tar (on white, at most 256 px a side) and OUT/labels.csv. A drawing is labelled by its folder and the
words of its file name; equal files are kept once; desktop icons and stars, which are named after programs and
numbers, are left out, as in tools/demo-model.
"""

import csv
import hashlib
import io
import json
import re
import sys
import tarfile
from pathlib import Path

from PIL import Image

Image.MAX_IMAGE_PIXELS = None
MAX_PIXELS = 20_000_000
LEFT_OUT = ("computer/icons/", "shapes/stars/")
FOLDERS = ("tools/weapons/", "food/beverages/alcohol/")
WORDS = {
    "weapon", "weapons", "gun", "guns", "pistol", "revolver", "rifle", "musket", "sword", "swords", "sabre", "dagger",
    "knife", "axe", "bomb", "grenade", "cannon", "missile", "bullet", "crossbow", "catapult", "handgun", "shotgun",
    "beer", "wine", "alcohol", "cocktail", "martini", "champagne", "vodka", "cognac",
    "skull", "skulls", "skeleton", "jolly", "pirate",
}


def is_positive(name):
    words = set(re.split(r"[^a-z]+", name.rsplit("/", 1)[-1].lower()))
    return name.startswith(FOLDERS) or bool(words & WORDS)


def main(root, out):
    root, out = Path(root) / "png", Path(out)
    out.mkdir(parents=True, exist_ok=True)
    seen, counts = set(), [0, 0]
    with tarfile.open(out / "drawings.tar", "w") as tar, open(out / "labels.csv", "w", newline="") as file:
        labels = csv.writer(file, lineterminator="\n")
        labels.writerow(["uid", "label", "name"])

        def add(name, data):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))

        for path in sorted(root.rglob("*.png")):
            name = path.relative_to(root).as_posix()
            if path.is_symlink() or name.startswith(LEFT_OUT):
                continue
            data = path.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            if digest in seen:
                continue
            seen.add(digest)
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    continue
                image = image.convert("RGBA")
            image.thumbnail((256, 256))
            white = Image.new("RGBA", image.size, "white")
            white.alpha_composite(image)
            jpeg = io.BytesIO()
            white.convert("RGB").save(jpeg, "JPEG", quality=92)
            label = int(is_positive(name))
            counts[label] += 1
            key = f"{sum(counts):09d}"
            add(f"{key}.jpg", jpeg.getvalue())
            add(f"{key}.json", json.dumps({"uid": digest[:32]}).encode())
            add(f"{key}.txt", b"a drawing")
            labels.writerow([digest[:32], label, name])
    print(f"{counts[1]} labelled, {counts[0]} others")


if __name__ == "__main__":
    main(*sys.argv[1:3])
