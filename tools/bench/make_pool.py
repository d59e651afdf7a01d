"""Makes a pool of shards for the benchmarks from a folder of pictures, at one size and in one format.

python make_pool.py PICTURES_DIR OUT_DIR --count 256 --side 512 --shard-size 128

Each picture becomes an RGB JPEG (quality 90) whose shorter side is `side`; the caption is its file name in words,
repeated with its folder's to some 10 to 30 tokens. Seeded by the sorted file list: the same folder gives the same
shards.
"""

import argparse
import io
import tarfile
from pathlib import Path

from PIL import Image


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pictures")
    parser.add_argument("out")
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--shard-size", type=int, default=128)
    args = parser.parse_args()

    files = sorted(p for p in Path(args.pictures).rglob("*") if p.suffix.lower() in {".png", ".jpg", ".jpeg"})
    step = max(1, len(files) // args.count)
    files = files[::step][: args.count]
    Path(args.out).mkdir(parents=True, exist_ok=True)
    for start in range(0, len(files), args.shard_size):
        name = f"{start // args.shard_size:05d}.tar"
        with tarfile.open(Path(args.out) / name, "w") as tar:
            for i, file in enumerate(files[start : start + args.shard_size]):
                key = f"{start + i:09d}"
                picture = Image.open(file).convert("RGBA")
                white = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(white, picture).convert("RGB")
                scale = args.side / min(picture.size)
                picture = picture.resize([max(args.side, round(side * scale)) for side in picture.size])
                words = " ".join([*file.parts[-3:-1], file.stem]).replace("_", " ").replace("-", " ")
                caption = f"{words}, a picture of {file.stem.replace('_', ' ')} in the style of {file.parent.name}"
                add(tar, f"{key}.jpg", jpeg(picture))
                add(tar, f"{key}.txt", caption.encode())


def jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


main()
