"""Makes a pool of shards for the benchmarks of real pictures, at one size and in one format.

python make_pool.py OUT_DIR [--pictures DIR]... [--count 256] [--side 512] [--shard-size 256] [--seed 0]

Each sample is a part of a picture (its place, shape and mirroring drawn, so that few photographs make many different
ones), as an RGB JPEG whose shorter side is `side`; quality 95 is img2dataset's default. Without --pictures: the
photographs of Tux Paint where it is installed, else the pictures of the demo's shards, which are drawings and so easier
to decode. Captions are words of the demo's captions in a drawn number, so that lengths are those of the web's alternative
texts: about log-normal, 15 tokens in the mean. The same folders and seed give the same shards. Prints one JSON line.
"""

import argparse
import io
import json
import random
import tarfile
from pathlib import Path

from PIL import Image

DEMO = Path(__file__).parent / "../../demo/shards"
PHOTOGRAPHS = [Path("/usr/share/tuxpaint/templates")]
ENDINGS = {".png", ".jpg", ".jpeg", ".webp"}
SHAPES = [1, 4 / 3, 3 / 4, 3 / 2, 2 / 3]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--pictures", type=Path, action="append")
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--shard-size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    folders = args.pictures or [folder for folder in PHOTOGRAPHS if folder.is_dir()]
    files = sorted(p for folder in folders for p in folder.rglob("*") if p.suffix.lower() in ENDINGS)
    # Templates of Tux Paint that are drawings are PNG.
    sources = [p.read_bytes() for p in files if args.pictures or p.suffix == ".jpg"]
    kind = ", ".join(map(str, folders)) if sources else "the demo's drawings"
    demo = {name: data for shard in sorted(DEMO.glob("*.tar")) for name, data in members(shard)}
    if not sources:
        sources = [data for name, data in demo.items() if Path(name).suffix in ENDINGS]
    words = " ".join(text.decode() for name, text in demo.items() if name.endswith(".txt")).split()

    rng = random.Random(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    for start in range(0, args.count, args.shard_size):
        with tarfile.open(args.out / f"{start // args.shard_size:05d}.tar", "w") as tar:
            for i in range(start, min(start + args.shard_size, args.count)):
                data = picture(Image.open(io.BytesIO(sources[i % len(sources)])), args.side, rng)
                first = rng.randrange(len(words))
                length = max(2, round(rng.lognormvariate(1.98, 0.5)))
                caption = " ".join((words * 2)[first : first + length])
                add(tar, f"{i:09d}.jpg", data)
                add(tar, f"{i:09d}.txt", caption.encode())
    print(json.dumps({"pictures": len(sources), "of": kind, "count": args.count, "side": args.side}))


def members(shard: Path):
    with tarfile.open(shard) as tar:
        for member in tar:
            if member.isfile():
                yield f"{shard.stem}/{member.name}", tar.extractfile(member).read()


def picture(source: Image.Image, side: int, rng: random.Random) -> bytes:
    rgba = source.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    image = Image.alpha_composite(white, rgba).convert("RGB")
    shape = rng.choice(SHAPES)
    share = rng.uniform(0.5, 1)
    height = min(image.height * share, image.width * share / shape)
    width = height * shape
    x, y = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    scale = side / min(width, height)
    size = [max(side, round(width * scale)), max(side, round(height * scale))]
    buffer = io.BytesIO()
    image.resize(size, Image.Resampling.LANCZOS, (x, y, x + width, y + height)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


main()
