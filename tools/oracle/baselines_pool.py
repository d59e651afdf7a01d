"""Makes test/fixtures/baselines/pool and assets: a small pool in DataComp's shape, for datacomp_baselines.py.

    python tools/oracle/baselines_pool.py STAMPS

STAMPS: the folder of Debian's tuxpaint-stamps-default, /usr/share/tuxpaint/stamps. Its .txt files describe one
drawing each in English and in up to 100 languages (GPL-2, copyright Bill Kendrick and translators). Versions in
requirements-datacomp.txt (its torch and NumPy decide how the .pt files are pickled); seeded.
"""
import hashlib
import pathlib
import random
import sys

import numpy as np
import pandas as pd
import torch

ROOT = pathlib.Path(__file__).resolve().parents[2] / "test" / "fixtures" / "baselines"
DIM = 768
CENTROIDS = 24
# The lower of two equal centroids wins where a picture is as near to both.
TWINS = (3, 17)
# Thresholds whose float32 lies below them (0.24, 0.26, 0.29, 0.32) or above (0.28, 0.3).
EDGES = [0.24, 0.26, 0.28, 0.29, 0.3, 0.32]

WHAT = ["dog", "golden retriever puppy", "vintage leather sofa", "red bicycle", "wedding cake", "mountain lake",
        "iPhone 6s case", "living room ideas", "how to cook rice", "free shipping", "Women's summer dress",
        "acoustic guitar", "IMG_2041.jpg", "Ford Mustang 1967", "the best of", "running shoes", "logo design vector",
        "men's t-shirt XXL", "strawberries", "quarterly report", "kittens playing", "aeroplanes", "wolves"]
HOW = ["{} for sale", "photo of {}", "{} - stock image", "Buy {} online", "10 reasons why {} went there", "{}",
       "{} | Pinterest", "The {} of my dreams", "{} with white background, isolated", "he {} she", "{} 50% OFF!!!",
       "Download {} wallpaper 1920x1080", "{} in New York", "is it {} or not", "my {} and me", "{}, {}"]
ODD = ["", " ", "a dog", "big dog", "a b c", "a b cd", "a b 😀", "a b 😀c", "I am ok", "I am o", "cat", "kitten",
       "😀😀😀 😀😀 😀", "the dog\nand the cat", "\n", "\n\n\n\n\n\n", "dog\n", "hello\nworld", "a\nb\nc\nd",
       "big\x1cred\x1dfire\x1etruck", "big\x1fred fire", "one\x85two\x85three", "one\ufefftwo\ufeffthree four",
       "one\u3000two\u3000three", "red\x00fire\x00truck drives by", "red\tfire\ttruck", "red\u00a0fire\u00a0truck",
       "a picture of a dog </s> und eine Katze", "</s> the dog runs in the park", "</s>", "dogsss are running fast",
       "an ice_cream in the sun", "The KITTEN, the dog.", "of the and with", "she was running and jumping around",
       "<b>bold</b> text in the caption here", "http://example.com/some/picture.jpg", "１２３ ４５６ ７８９",
       "\u202eright to left override text", "e\u0301 e\u0301 e\u0301 e\u0301", "  leading and trailing words  ",
       "word " * 400, "日本語 " * 120 + "english words here", "Ünïcödé wörds äre nïce tö häve", "12345 678 90",
       "\ud7ff \ue000 \ufffd private use", "👩‍👩‍👧‍👦 family of four at the beach", "x" * 3000]


def stamps(folder, rng, others, english):
    """Captions of the stamps: a sample of translations and one of the English lines."""
    lines, originals = set(), set()
    for path in sorted(folder.rglob("*.txt")):
        first, *translated = path.read_text("utf-8").splitlines()
        originals.add(first.strip())
        lines.update(line.split("=", 1)[1].strip() for line in translated if ".utf8=" in line)
    lines -= originals | {""}
    return rng.sample(sorted(lines), others) + rng.sample(sorted(originals), english)


def captions(folder, rng):
    web = [rng.choice(HOW).format(rng.choice(WHAT), rng.choice(WHAT)) for _ in range(170)]
    found = stamps(folder, rng, 330, 90) + web + ODD
    rng.shuffle(found)
    return found


def scores(rng, n, dtype):
    """Ties on a grid of hundredths, and the neighbours of thresholds in the column's type; some are missing."""
    values = np.round(rng.normal(0.27, 0.05, n), 2).astype(dtype)
    for i, edge in enumerate(EDGES):
        near = dtype(edge)
        values[4 * i : 4 * i + 4] = [near, np.nextafter(near, dtype(0)), np.nextafter(near, dtype(1)), np.float32(edge)]
    values[30:32] = np.nan
    return values


def sizes(rng, n):
    odd = [(200, 200), (199, 900), (900, 199), (200, 600), (600, 200), (601, 200), (200, 601), (0, 0), (0, 300),
           (300, 0), (1, 1), (333, 999), (333, 1000), (3000, 1000), (3001, 1000), (199, 199)]
    some = np.concatenate([rng.integers(150, 900, (n - 2 * len(odd), 2)), odd, odd])
    return some[rng.permutation(n)].T


def frame(rng, texts, b32, l14):
    n = len(texts)
    width, height = sizes(rng, n)
    faces = [rng.random((i % 3, 4)).round(3).tolist() for i in range(n)]
    return pd.DataFrame({
        "uid": [rng.bytes(16).hex() for _ in range(n)],
        "url": [f"http://example.com/{i}.jpg" for i in range(n)],
        "text": texts,
        "original_width": width,
        "original_height": height,
        "clip_b32_similarity_score": scores(rng, n, b32)[rng.permutation(n)],
        "clip_l14_similarity_score": scores(rng, n, l14)[rng.permutation(n)],
        "face_bboxes": faces,
        "sha256": [hashlib.sha256(f"{i}-{text}".encode()).hexdigest() for i, text in enumerate(texts)],
    })


def coarse(rng, n, dim=DIM):
    """Vectors whose dot products float32 has exactly, whatever the order of the sum; they also compress well."""
    return (rng.integers(-1, 2, (n, dim)) / 16).astype(np.float32)


def embeddings(rng, centroids, n, smooth):
    """Pictures near some centroid: unit vectors of float16, or coarse ones, some of them nearest to the twins."""
    towards = centroids[rng.integers(0, len(centroids), n)]
    if smooth:
        features = towards / np.linalg.norm(towards, axis=1, keepdims=True) + rng.normal(0, 0.04, (n, DIM))
        return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float16)
    features = np.where(rng.random((n, DIM)) < 0.25, np.sign(towards) / 16, coarse(rng, n))
    features[: n // 10] = np.sign(centroids[TWINS[0]]) / 16
    return features.astype(np.float16)


def main():
    pool, assets = ROOT / "pool", ROOT / "assets"
    pool.mkdir(parents=True, exist_ok=True)
    assets.mkdir(exist_ok=True)
    rng = np.random.default_rng(20240701)
    centroids = coarse(rng, CENTROIDS)
    # Centroids are not normalised, and the product is not a cosine: long ones take more.
    centroids *= rng.integers(2, 5, (CENTROIDS, 1)).astype(np.float32)
    centroids[TWINS[1]] = centroids[TWINS[0]]
    # As image_based_clustering.py saves them: a NumPy array.
    torch.save(centroids, assets / "small_centroids.pt", pickle_protocol=4)
    wanted = centroids[[1, 3, 4, 7, 10, 11, 14, 20, 22]]
    for i in range(5):
        features = np.sign(wanted[rng.integers(0, len(wanted), 8)]) / 16
        tensor = torch.from_numpy(features.astype(np.float16))
        torch.save({"image_features": tensor}, assets / f"in1k_clip_vit_l14_{i}.pt")

    texts = captions(pathlib.Path(sys.argv[1]), random.Random(20240702))
    cuts = [0, 300, 560, len(texts)]
    types = [(np.float64, np.float64), (np.float32, np.float32), (np.float32, np.float64)]
    frames = [frame(rng, texts[a:b], *kinds) for a, b, kinds in zip(cuts, cuts[1:], types)]
    # Repeats: of a row's uid in its own file, and across files with another caption and score.
    for i, row in [(0, 20), (1, 30)]:
        frames[i].loc[row : row + 5, "uid"] = frames[i].uid[:6].values
        frames[i + 1].loc[10:25, "uid"] = frames[i].uid[40:56].values
    for i, (table, name) in enumerate(zip(frames, ["double", "float32", "mixed"])):
        npz = {"l14_img": embeddings(rng, centroids, len(table), smooth=i == 2)}
        if i == 0:
            for key, dim in [("b32_img", 512), ("b32_txt", 512), ("l14_txt", DIM)]:
                npz[key] = np.repeat(coarse(rng, len(table), dim // 16), 16, axis=1).astype(np.float16)
        if i == 1:
            # Sides that a writer left open make the column a double.
            table = table.astype({"original_width": "float64"})
            table.loc[[50, 51, 52], "original_width"] = np.nan
        table.to_parquet(pool / f"{name}.parquet", index=False, compression="zstd" if i == 1 else "snappy")
        np.savez_compressed(pool / f"{name}.npz", **npz)
    frames[0].iloc[:0].to_parquet(ROOT / "no-rows.parquet", index=False)
    print(f"{len(texts)} rows")


if __name__ == "__main__":
    main()
