"""Pictures as one uint8 array, and the random views that training sees of them."""

import hashlib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from sources import Picture

SIDE = 80  # pixels of the cached square; a multiple of 16 and above the model's 64
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def on_white(path: Path) -> Image.Image:
    """The picture as a web page would show it: RGB on white."""
    with Image.open(path) as image:
        image = image.convert("RGBA")
    page = Image.new("RGBA", image.size, "white")
    page.alpha_composite(image)
    return page.convert("RGB")


def drawn_box(page: Image.Image) -> tuple[int, int, int, int]:
    """The box outside of which an RGB page is as good as white."""
    return page.convert("L").point(lambda v: 255 if v < 250 else 0).getbbox() or (0, 0, *page.size)


def _square(path: Path) -> tuple[np.ndarray, tuple[int, int, float]]:
    box = drawn_box(on_white(path))
    with Image.open(path) as image:
        page = max(image.size)
        # Premultiplied: what is transparent has no colour to bleed.
        image = image.convert("RGBA").convert("RGBa").crop(box)
    long = max(image.size)
    scale = SIDE / long
    w, h = (max(1, round(s * scale)) for s in image.size)
    if scale < 0.25:
        image = image.reduce(int(0.5 / scale))
    image = image.resize((w, h), Image.BICUBIC)
    square = np.zeros((SIDE, SIDE, 4), np.uint8)
    top, left = (SIDE - h) // 2, (SIDE - w) // 2
    square[top:top + h, left:left + w] = np.asarray(image)
    return square, (w / SIDE, h / SIDE, page / long)


def decode_all(pictures: list[Picture], folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The pictures without their white margins, kept in `folder`.

    [n, SIDE, SIDE, 4] uint8 premultiplied RGBA, and [n, 3] float32: width and height within
    the square, and how many times larger the page was.
    """
    name = hashlib.sha256("\n".join(p.name for p in pictures).encode()).hexdigest()[:16]
    file = folder / f"pictures-{name}.npz"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor() as pool:
            squares, sizes = zip(*pool.map(_square, [p.path for p in pictures], chunksize=32), strict=True)
        part = file.with_suffix(".part.npz")
        np.savez(part, pixels=np.stack(squares), sizes=np.array(sizes, np.float32))
        part.rename(file)
    stored = np.load(file)
    return stored["pixels"], stored["sizes"]


def random_views(pixels: np.ndarray, sizes: np.ndarray, mirror: np.ndarray, side: int,
                 rng: torch.Generator) -> torch.Tensor:
    """[b, SIDE, SIDE, 4] uint8 -> [b, 3, side, side] normalised float32.

    A square window between the shortest and the longest side (the reference crops the
    longest side away, so the model must live with either), turned a little, mirrored
    where that does not change the meaning, on white or a random page, colours shaken.
    """
    b = len(pixels)

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return torch.rand(b, *shape, generator=rng) * (high - low) + low

    size, page_size = torch.from_numpy(sizes[:, :2]), torch.from_numpy(sizes[:, 2])
    short, long = size.min(1).values, size.max(1).values
    window = (short + (long - short) * uniform(0, 1) ** 2) * uniform(0.72, 1.08)
    far = torch.where(uniform(0, 1) < 0.5, uniform(0, 1), torch.zeros(b))  # with its margins, half the time
    window = window * (1 + (page_size.clamp(max=4) - 1) * far)
    room = (size - window[:, None]).abs().clamp(min=0.06)
    centre = uniform(-1, 1, 2) * room
    angle = uniform(-0.2, 0.2) * (uniform(0, 1) < 0.6)
    stretch = torch.exp(uniform(-0.12, 0.12))
    flip = torch.where((uniform(0, 1) < 0.5) & torch.from_numpy(mirror), -1.0, 1.0)
    cos, sin = torch.cos(angle) * window, torch.sin(angle) * window
    theta = torch.stack([torch.stack([cos * stretch * flip, -sin, centre[:, 0]], 1),
                         torch.stack([sin * flip, cos / stretch, centre[:, 1]], 1)], 1)
    source = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)
    grid = F.affine_grid(theta, [b, 4, side, side], align_corners=False)
    view = F.grid_sample(source, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    colour, alpha = view[:, :3], view[:, 3:]
    page = torch.where(uniform(0, 1, 1, 1, 1) < 0.75, torch.ones(b, 3, 1, 1), uniform(0.3, 1, 3, 1, 1))
    x = colour + (1 - alpha) * page
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * torch.where(uniform(0, 1, 1, 1, 1) < 0.1, 0.0, uniform(0.6, 1.4, 1, 1, 1))
    x = (x - 0.5) * uniform(0.75, 1.2, 1, 1, 1) + 0.5 + uniform(-0.1, 0.1, 1, 1, 1)
    x = x.clamp_(0, 1)
    return (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
