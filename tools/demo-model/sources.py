"""Reads the drawings and the emoji, drops repeats, and splits them.

A `Picture` is one file with the words known about it; `captions.py` makes
captions of those words. Held-out drawings are drawn at random, and whatever
looks like one of them leaves the training side. Different drawings of one
author's series may stand on both sides.
"""

import hashlib
import html
import json
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

Image.MAX_IMAGE_PIXELS = None  # the installed package is trusted; sizes are checked below

SEED = 20260
HELD_OUT = 800
MAX_STARS = 60  # 1,375 geometric stars share one title; a few are enough
MAX_PIXELS = 20_000_000  # a few files are posters of hundreds of megapixels
GENERIC = 6  # a title shared by this many drawings names a collection

# Desktop icons are named after programs ("ark", "ksirc dock") and stars after numbers:
# words that no picture can answer to. They train the model but do not judge it.
NEVER_HELD_OUT = ("computer/icons/", "shapes/stars/")

UNSEEN_STYLE = "twitter"  # kept out of training, to judge the model on another hand

LANGUAGES = ("en", "it", "fr")  # the languages that most drawings are titled in

# Descriptions that an editor wrote, or that tell of the file.
NO_WORDS = re.compile(r"http|www|inkscape|convert|e-?mail|svg|version|created|hash\(", re.I)

# Keywords that name how the library was filed, not what the picture shows.
FILING = {
    "unsorted", "icons", "theme", "signs_and_symbols", "work", "lemon_theme_icon",
    "clipart", "magick", "architetto francesco rollandin",
}


@dataclass
class Picture:
    path: Path
    name: str  # path below the collection's root, without its ending
    subject: str
    description: str = ""
    keywords: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    author: str = ""
    concept: str = ""  # pictures of one concept are no negatives of each other
    style: str = "openclipart"
    other: dict[str, tuple[str, list[str]]] = field(default_factory=dict)  # language -> words
    descriptive: bool = True  # the title is the picture's own, not its collection's
    sha256: str = ""


def tidy(text: str) -> str:
    text = html.unescape(html.unescape(text)).replace("_", " ")
    return re.sub(r"\s+", " ", text).strip(" .,-")


def _metadata(svg: bytes) -> dict:
    block = re.search(rb"<metadata.*?</metadata>", svg, re.S)
    text = block.group(0).decode("utf-8", "replace") if block else ""

    def one(pattern: str) -> str:
        found = re.search(pattern, text, re.S)
        return re.sub(r"\s+", " ", html.unescape(found.group(1))).strip() if found else ""

    return {
        "title": one(r"<dc:title>(.*?)</dc:title>"),
        "description": one(r"<dc:description>(.*?)</dc:description>"),
        "author": one(r"<dc:creator>.*?<dc:title>(.*?)</dc:title>"),
        "keywords": [tidy(k) for k in re.findall(r"<rdf:li>(.*?)</rdf:li>", text, re.S)
                     if k.strip() and k.strip().lower() not in FILING and "hash" not in k.lower()],
    }


def _file_words(name: str, author: str) -> str:
    """Words of a file name; the clipped author name and numbers at its end go."""
    authors = [w for w in re.split(r"\W+", author.lower()) if w]
    words = [w for w in re.split(r"[_\W]+", name.lower()) if w]
    kept = [w for i, w in enumerate(words)
            if not w.isdigit() and not (i and any(a.startswith(w) for a in authors))]
    return " ".join(kept)


def read_drawings(root: Path) -> list[Picture]:
    """Every drawing once: links are followed to their target, equal bytes kept once."""
    rows, seen = [], set()
    for path in sorted((root / "png").rglob("*.png")):
        name = path.relative_to(root / "png").with_suffix("").as_posix()
        svg = root / "svg" / (name + ".svg")
        if path.is_symlink() or not svg.exists():
            continue
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest not in seen:
            seen.add(digest)
            rows.append((path, name, digest, _metadata(svg.read_bytes())))
    titles = Counter(m["title"] for *_, m in rows)
    descriptions = Counter(m["description"] for *_, m in rows)
    pictures, stars = [], 0
    for path, name, digest, m in rows:
        folder, _, base = name.rpartition("/")
        if folder == "shapes/stars" and (stars := stars + 1) > MAX_STARS:
            continue
        own = titles[m["title"]] < GENERIC and not m["title"].startswith("Clipart by")
        title = tidy(m["title"]) if own else ""
        own = own and bool(re.search(r"[^\W\d_]{3}", title))
        subject = title if own else _file_words(base, m["author"])
        description = tidy(m["description"])
        if descriptions[m["description"]] >= GENERIC or len(description) > 140 \
                or description.lower() == subject.lower() or NO_WORDS.search(description):
            description = ""
        folders = [tidy(f) for f in folder.split("/") if f not in ("unsorted", "special")]
        if subject or m["keywords"]:
            pictures.append(Picture(path, name, subject, description, m["keywords"], folders,
                                    m["author"], "", descriptive=own, sha256=digest))
    for p in pictures:
        p.concept = f"{p.subject.lower()}|{p.folders[0] if p.folders else ''}"
    return pictures


def read_emoji(root: Path) -> list[Picture]:
    """The three styles; words come from CLDR through emojibase, in three languages."""
    words = {lang: {e["hexcode"]: e for e in json.loads((root / "emojibase-data" / lang / "data.json").read_text("utf-8"))}
             for lang in LANGUAGES}
    groups = ["smiley", "person", "component", "animal nature", "food drink", "travel place",
              "activity", "object", "symbol", "flag"]
    styles = {
        "google": (root / "emoji-datasource-google/img/google/64", ".png"),
        "twitter": (root / "emoji-datasource-twitter/img/twitter/64", ".png"),
        "fluent": (root / "@lobehub/fluent-emoji-3d/assets", ".webp"),
    }
    pictures = []
    for hexcode, entry in sorted(words["en"].items()):
        code = hexcode.lower()
        for style, (folder, ending) in styles.items():
            path = next((p for c in (code, code.replace("-fe0f", ""), code + "-fe0f")
                         if (p := folder / (c + ending)).exists()), None)
            if path is None:
                continue
            group = entry.get("group")
            pictures.append(Picture(
                path, f"{style}/{code}", tidy(entry["label"]), "", [tidy(t) for t in entry.get("tags", [])],
                [groups[group]] if group is not None else [], style, f"emoji {code}", style,
                {lang: (tidy(e["label"]), [tidy(t) for t in e.get("tags", [])])
                 for lang in LANGUAGES[1:] if (e := words[lang].get(hexcode))}))
    return pictures


def _thumbnails(cache: np.ndarray) -> np.ndarray:
    """[n, 16*16*3] float32 of the pictures on white, each row centred and of unit length."""
    n, side = cache.shape[:2]
    step = side // 16
    pixels = cache.reshape(n, 16, step, 16, step, 4).mean((2, 4), dtype=np.float32)
    thumbs = (pixels[..., :3] + 255 - pixels[..., 3:]).reshape(n, -1)
    thumbs -= thumbs.mean(1, keepdims=True)
    return thumbs / np.maximum(np.linalg.norm(thumbs, axis=1, keepdims=True), 1e-6)


def split_drawings(pictures: list[Picture], cache: np.ndarray, alike: float = 0.97) -> tuple[list[int], list[int]]:
    """Indices (training, held out): 800 drawings at random, and none in training that looks like one of them."""
    candidates = [i for i, p in enumerate(pictures) if not p.name.startswith(NEVER_HELD_OUT)]
    random.Random(SEED).shuffle(candidates)
    thumbs = _thumbnails(cache)
    held: list[int] = []
    for i in candidates:
        if len(held) == HELD_OUT:
            break
        if not held or (thumbs[held] @ thumbs[i]).max() <= alike:
            held.append(i)
    chosen = set(held)
    near = (thumbs @ thumbs[held].T).max(1) > alike
    return [i for i in range(len(pictures)) if i not in chosen and not near[i]], sorted(held)
