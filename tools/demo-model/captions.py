"""Captions that look like the web's: titles, keywords, descriptions and folders, mixed."""

import hashlib
import random
import re
from functools import lru_cache

from open_clip.tokenizer import SimpleTokenizer

from sources import Picture

_tokenizer = SimpleTokenizer()
START, END = _tokenizer.sot_token_id, _tokenizer.eot_token_id
SEPARATORS = (", ", ", ", " ", " - ", " | ", ". ")
DIRECTED = re.compile(r"\b(left|right|arrow|turn|flag|sinistra|destra|letter|number|clock|sign|text)")


@lru_cache(maxsize=None)
def ids_of(text: str) -> tuple[int, ...]:
    # BPE never crosses white space, so the ids of a caption are those of its parts in a row.
    return tuple(_tokenizer.encode(text))


def may_mirror(p: Picture) -> bool:
    return not DIRECTED.search(" ".join([p.subject, *p.keywords, *p.folders]).lower())


def training_caption(p: Picture, rng: random.Random) -> str:
    """A random mix of the words known about `p`; every pass draws another."""
    subject, keywords = p.subject, p.keywords
    if p.other and rng.random() < 0.25:
        subject, keywords = p.other[rng.choice(list(p.other))]
    parts = [subject] if subject else []
    if keywords:
        chosen = rng.sample(keywords, rng.randint(0 if subject else 1, min(6, len(keywords))))
        if len(chosen) > 1 and rng.random() < 0.15:
            parts = []
        parts += chosen
    if p.description and rng.random() < 0.4:
        parts.insert(rng.randint(0, min(1, len(parts))), p.description)
    if p.folders and rng.random() < 0.35:
        parts.append(rng.choice([p.folders[-1], " ".join(p.folders)]))
    if rng.random() < 0.15:
        parts.append("emoji" if p.style != "openclipart" else rng.choice(["clip art", "drawing", "vector"]))
    if rng.random() < 0.15:
        rng.shuffle(parts)
    return rng.choice(SEPARATORS).join(parts)


def fixed_caption(p: Picture) -> str:
    """The one caption by which `p` is known in evaluation and in the demo shards.

    Chosen by a hash of the name, from shapes that are common as alt texts; keywords that
    only repeat the title are left out.
    """
    rng = random.Random(hashlib.sha256(p.name.encode()).digest()[:8])
    low = p.subject.lower()
    keywords = [k for k in p.keywords if k.lower() not in low and not k.startswith("0x")]
    if not keywords:
        keywords = [f for f in reversed(p.folders) if f.lower().rstrip("s") not in low]
    some = ", ".join(keywords[:rng.randint(2, 5)])
    subject = p.subject or p.folders[-1]
    if p.description and rng.random() < 0.5:
        return f"{subject}. {p.description}" if rng.random() < 0.5 or not some else f"{p.description} ({some})"
    if not some:
        return f"{subject} clip art"
    return rng.choice(["{0}, {1}", "{0} - {1}", "{0} | {1} | clip art", "{0}: {1}", "{1}, {0}"]).format(subject, some)


def training_ids(caption: str, rng: random.Random, drop: float = 0.1, longest: int = 24) -> list[int]:
    """Token ids with start and end; words are left out at random, so no word is relied upon."""
    words = [w for w in caption.split() if rng.random() >= drop] or caption.split()[:1]
    ids = [i for w in words for i in ids_of(w)]
    return [START, *ids[:longest - 2], END]
