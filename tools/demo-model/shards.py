"""The demo shards: held-out drawings in the layout that img2dataset writes, some captions exchanged."""

import hashlib
import io
import json
import random
import re
import tarfile
from collections import Counter
from pathlib import Path

from PIL import Image

from captions import fixed_caption
from images import drawn_box, on_white
from sources import SEED, Picture

SHARDS, PER_SHARD = 4, 100
SHORTEST, LONGEST = 200, 400
MAX_PNG = 30_000  # bytes; what is larger is stored with a palette
FOLDER_CAP = 26  # of one folder (flags above all), so that the demo shows many things
PATTERN_CAP = 10

# Not for a demo: arms, drugs, nudity, party and faith, and titles that say nothing.
UNWANTED = re.compile(
    r"weapon|gun|rifle|pistol|sword|knife|bullet|bomb|nunchaku|mermaid|@|email|blood|dead|death|kill|skull|devil|hell|nud|sex|naked|bikini|"
    r"cigar|smok|drug|alcohol|beer|wine|whisk|cocktail|liquor|nazi|hitler|swastika|soviet|communis|fascis|polit|"
    r"nationalist|separatist|terror|war\b|army|soldier|military|religi|christ|cross\b|jesus|church|islam|muslim|"
    r"jew\b|jewish|buddh|hindu|bible|crucif|logo|trademark|windows|tux|mozilla|firefox|gnome|debian|linux|inkscape|"
    r"emule|openoffice|microsoft|domo|tetris|commies|ussr|tibet|martin luther|"
    r"untitled|drawing\b|test\b|clipart by|aiga|tasto|pulsante", re.I)

# Chosen by the rules above and taken out by eye. Their keys stay empty, as gaps do in real pools,
# so that every other sample keeps its key and bytes.
WITHDRAWN = {
    "people/smilies/chav_01",  # mocks people
    "shapes/shadow_babe_robert_seitz_01",  # suggestive
    "signs_and_symbols/for_sale_sign_template_01",  # shows a telephone number
}


def _size(source: Image.Image, rng: random.Random) -> tuple[int, int] | None:
    """A size with both sides within the bounds, or None where the shape or the source forbids it."""
    short, long = sorted(source.size)
    low, high = SHORTEST / short, min(LONGEST / long, 2)
    if low > high:
        return None
    scale = rng.uniform(low, min(high, low * 1.35))
    return tuple(min(LONGEST, max(SHORTEST, round(s * scale))) for s in source.size)


def _encode(page: Image.Image, rng: random.Random) -> tuple[str, bytes]:
    """(extension, bytes): a mix of what pools hold."""
    kind = rng.choices(["jpg", "webp", "png", "palette", "rgba"], [45, 25, 15, 10, 5])[0]
    out = io.BytesIO()
    if kind == "jpg":
        page.save(out, "JPEG", quality=rng.choice([80, 85, 90]), progressive=rng.random() < 0.2)
        return "jpg", out.getvalue()
    if kind == "webp":
        page.save(out, "WEBP", quality=rng.choice([75, 85]), method=6)
        return "webp", out.getvalue()
    if kind == "png":
        page.save(out, "PNG", optimize=True)
    elif kind == "rgba":
        page.convert("RGBA").save(out, "PNG", optimize=True)
    if kind == "palette" or len(out.getvalue()) > MAX_PNG:
        out = io.BytesIO()
        page.quantize(rng.choice([32, 64]), dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return "png", out.getvalue()


def choose(held_out: list[Picture]) -> list[tuple[Picture, Image.Image]]:
    """Drawings for the demo, by rules that do not look at the model's scores."""
    rng = random.Random(SEED + 1)
    order = sorted(held_out, key=lambda p: p.name)
    rng.shuffle(order)
    chosen, folders, captions = [], Counter(), set()
    for p in order:
        folder = p.name.rpartition("/")[0]
        top = "/".join(folder.split("/")[:2])
        words = " ".join([p.name, fixed_caption(p), p.description])
        says = p.descriptive or (p.keywords and re.fullmatch(r"[^\W\d_]{4,}( [^\W\d_]{3,})*", p.subject))
        if not says or UNWANTED.search(words) or folders[top] >= (PATTERN_CAP if top == "special/patterns" else FOLDER_CAP) \
                or fixed_caption(p).lower() in captions or len(fixed_caption(p)) > 120:
            continue
        page = on_white(p.path)
        left, upper, right, lower = drawn_box(page)
        size = _size(page, rng)
        if size is None or max((right - left) / page.width, (lower - upper) / page.height) < 0.55:
            continue
        folders[top] += 1
        captions.add(fixed_caption(p).lower())
        chosen.append((p, page.resize(size, Image.BICUBIC)))
        if len(chosen) == SHARDS * PER_SHARD:
            break
    return chosen


def exchange(pictures: list[Picture]) -> dict[int, int]:
    """A third of the pictures, each given the caption of another of them: {picture: caption's picture}."""
    rng = random.Random(SEED + 2)
    some = rng.sample(range(len(pictures)), len(pictures) // 3)
    for shift in range(1, len(some)):
        other = some[shift:] + some[:shift]
        if all(pictures[a].subject.lower() != pictures[b].subject.lower() for a, b in zip(some, other, strict=True)):
            return dict(zip(some, other, strict=True))
    raise ValueError("no shift gives every picture another title; choose other pictures")


def write(held_out: list[Picture], folder: Path) -> list[dict]:
    """Writes the tars (same bytes every time) and returns the samples' JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.tar"):
        old.unlink()
    chosen = choose(held_out)
    pictures = [p for p, _ in chosen]
    swapped = exchange(pictures)
    rng = random.Random(SEED + 3)
    written = []
    for shard in range(-(-len(chosen) // PER_SHARD)):
        with tarfile.open(folder / f"demo-{shard:05d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            def add(name: str, data: bytes, tar: tarfile.TarFile = tar) -> None:
                member = tarfile.TarInfo(name)  # uid, gid and time are 0
                member.size, member.mode = len(data), 0o644
                tar.addfile(member, io.BytesIO(data))

            for row, (p, page) in enumerate(chosen[shard * PER_SHARD:(shard + 1) * PER_SHARD]):
                index = shard * PER_SHARD + row
                key = f"{shard:05d}{row:04d}"
                caption = fixed_caption(pictures[swapped.get(index, index)])
                ending, data = _encode(page, rng)
                if p.name in WITHDRAWN:
                    continue
                with Image.open(p.path) as source:
                    original = source.size
                record = {
                    "uid": hashlib.sha256(f"openclipart/{p.name}".encode()).hexdigest()[:32],
                    "key": key, "url": f"openclipart/png/{p.name}.png", "caption": caption,
                    "status": "success", "error_message": None,
                    "width": page.width, "height": page.height,
                    "original_width": original[0], "original_height": original[1],
                    "exif": "{}", "sha256": p.sha256, "author": re.sub(r"\s*-?\s*\S+@\S+", "", p.author),
                    "exchanged": index in swapped, "true_caption": fixed_caption(p),
                }
                add(f"{key}.{ending}", data)
                add(f"{key}.txt", caption.encode())
                add(f"{key}.json", json.dumps(record, ensure_ascii=False).encode())
                written.append(record)
    return written


def read(folder: Path) -> list[tuple[dict, Image.Image]]:
    """(JSON, picture as webdataset decodes it) of every sample, in order."""
    samples = []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            members = {m.name: tar.extractfile(m).read() for m in tar}
        for name in members:
            if name.endswith(".json"):
                stem = name.removesuffix(".json")
                image = next(n for n in members if n.startswith(stem) and n.rpartition(".")[2] in ("jpg", "png", "webp"))
                samples.append((json.loads(members[name]), Image.open(io.BytesIO(members[image])).convert("RGB")))
    return samples
