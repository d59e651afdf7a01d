"""AUC of the exported model, through open_clip itself on real files."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from PIL import Image

import captions
from images import on_white
from sources import Picture


def auc(cosines: np.ndarray) -> float:
    """Chance that a true pair (diagonal) scores above an exchanged one (elsewhere), ties half.

    `cosines`: [images, captions].
    """
    true = np.sort(np.diag(cosines))
    other = cosines[~np.eye(len(cosines), dtype=bool)]
    below = np.searchsorted(true, other, "left")
    tied = np.searchsorted(true, other, "right") - below
    return float(1 - (below + tied / 2).mean() / len(true))


def load(folder: Path):
    """(model in fp32, preprocess, tokenizer), as any user of open_clip would load it."""
    name = f"local-dir:{folder}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    return model.eval(), preprocess, open_clip.get_tokenizer(name)


@torch.no_grad()
def cosines(folders: list[Path], images: Iterable[Image.Image], texts: list[str]) -> list[np.ndarray]:
    """[images, captions] float32 for each model folder; pictures go through open_clip's own preprocess."""
    models = [load(folder) for folder in folders]
    _, preprocess, tokenizer = models[0]
    pixels = torch.stack([preprocess(image) for image in images])
    tokens = tokenizer(texts)
    found = []
    for model, *_ in models:
        image = torch.cat([model.encode_image(part) for part in pixels.split(100)])
        text = torch.cat([model.encode_text(part) for part in tokens.split(100)])
        found.append((F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T).numpy())
    return found


def judge(folders: list[Path], pictures: list[Picture]) -> list[np.ndarray]:
    """The cosine matrix over `pictures` and their fixed captions, for each model folder."""
    return cosines(folders, (on_white(p.path) for p in pictures), [captions.fixed_caption(p) for p in pictures])


def keeps(scores: np.ndarray, exchanged: np.ndarray, fraction: float) -> dict:
    """What DataComp's rule for a fraction keeps: the score at int(n * fraction) from the top, and all above."""
    threshold = np.sort(scores)[::-1][int(len(scores) * fraction)]
    kept = scores >= threshold
    return {"fraction": fraction, "threshold": round(float(threshold), 4), "kept": int(kept.sum()),
            "true": int((kept & ~exchanged).sum()), "exchanged": int((kept & exchanged).sum())}
