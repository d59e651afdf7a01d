"""Goldens of the embedding methods: each from its paper's formula in plain float64 NumPy, and faiss for k-means.

    python tools/oracle/embedding_methods.py test/fixtures/embeddings

Needs NumPy and faiss-cpu (versions in the README beside the fixtures). Everything is drawn from one seed; the
embeddings are float16 unit vectors, as a metadata file holds them, with exact and near duplicates among them.
"""

import json
import sys
from pathlib import Path

import faiss
import numpy as np

ROWS, DIM, TEXT_NOISE = 400, 32, 0.8


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def pool(rng, rows, dim):
    centres = rng.normal(size=(25, dim))
    image = unit(centres[rng.integers(0, 25, rows)] + 0.7 * rng.normal(size=(rows, dim)))
    for i in range(0, rows // 4, 5):  # near and exact duplicates, in chains
        image[i + 1] = image[i]
        image[i + 2] = image[i] + 0.03 * rng.normal(size=dim)
        image[i + 3] = image[i + 2] + 0.03 * rng.normal(size=dim)
    image = unit(image).astype("f2")
    text = unit(image.astype("f8") + TEXT_NOISE * unit(rng.normal(size=(rows, dim)))).astype("f2")
    return image, text


def neg_clip_loss(image, text, partitions, temperature):
    """s_ii - t/2 [log sum_j exp(s_ij/t) + log sum_j exp(s_ji/t)], averaged over partitions; log-sum-exp by hand."""
    image, text = image.astype("f8"), text.astype("f8")
    total = np.zeros(len(image))
    for batches in partitions:
        for batch in batches:
            s = image[batch] @ text[batch].T
            lse = lambda x, axis: x.max(axis) + np.log(np.exp(x - x.max(axis, keepdims=True)).sum(axis))
            norm = lse(s / temperature, 1) + lse(s / temperature, 0)
            total[batch] += np.diag(s) - temperature / 2 * norm
    return total / len(partitions)


def norm_sim(image, targets, p):
    s = np.abs(image.astype("f8") @ targets.astype("f8").T)
    return s.max(1) if p == "inf" else (s**p).sum(1) ** (1 / p)


def semdedup(image, centroids, epsilon, keep):
    """True for rows that stay. Clusters by the largest cosine; within one, i before j makes j a duplicate."""
    x, c = unit(image.astype("f8")), unit(centroids.astype("f8"))
    cosine = x @ c.T
    cluster = cosine.argmax(1)
    stays = np.ones(len(x), bool)
    for k in range(len(c)):
        rows = np.flatnonzero(cluster == k)
        if keep != "first":
            to_centroid = cosine[rows, k]
            rows = rows[np.argsort(to_centroid if keep == "hard" else -to_centroid, kind="stable")]
        pairs = np.triu(x[rows] @ x[rows].T, 1)
        stays[rows[pairs.max(0, initial=0) > 1 - epsilon]] = False
    return stays


def kmeans(x, k, seed, spherical=False, max_points=10_000_000, iterations=20):
    clustering = faiss.Clustering(x.shape[1], k)
    clustering.niter, clustering.seed, clustering.spherical = iterations, seed, spherical
    clustering.max_points_per_centroid = max_points
    clustering.train(x, (faiss.IndexFlatIP if spherical else faiss.IndexFlatL2)(x.shape[1]))
    stats = clustering.iteration_stats
    last = stats.at(stats.size() - 1)
    splits = [stats.at(i).nsplit for i in range(stats.size())]
    return faiss.vector_to_array(clustering.centroids).reshape(k, -1), float(last.obj), splits


def main(out):
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(20261125)
    image, text = pool(rng, ROWS, DIM)
    targets = unit(rng.normal(size=(90, DIM))).astype("f4")
    wide = image.astype("f4")
    arrays, golden = {}, {}
    for name, options in {
        "plain": {"k": 12, "seed": 0},
        "spherical": {"k": 12, "seed": 7, "spherical": True},
        "sampled": {"k": 6, "seed": 3, "max_points": 40},
        "empty": {"k": 150, "seed": 1},
    }.items():
        centroids, objective, splits = kmeans(wide, **options)
        arrays[f"kmeans_{name}"] = centroids
        golden[f"kmeans_{name}"] = {**options, "objective": objective, "splits": splits}
    # Centroids of different lengths: assignment is by the dot product, not by the distance.
    arrays["centroids"] = (arrays["kmeans_plain"] * rng.uniform(0.5, 1.5, size=(12, 1))).astype("f4")
    ids = (image.astype("f8") @ arrays["centroids"].astype("f8").T).argmax(1)
    few = targets[:4]
    target_ids = np.unique((few.astype("f8") @ arrays["centroids"].astype("f8").T).argmax(1))
    golden["assign"] = ids.tolist()
    golden["target_ids"] = target_ids.tolist()
    golden["image_based"] = np.flatnonzero(np.isin(ids, target_ids)).tolist()
    golden["negcliploss"] = {
        "whole": neg_clip_loss(image, text, [[np.arange(ROWS)]], 0.01).tolist(),
        "warm": neg_clip_loss(image, text, [[np.arange(ROWS)]], 0.07).tolist(),
    }
    golden["normsim"] = {
        p: {n: norm_sim(image, targets[: int(n)], 2 if p == "2" else p).tolist() for n in ("20", "90")}
        for p in ("2", "inf")
    }
    golden["semdedup"] = [
        {
            "epsilon": epsilon,
            "keep": keep,
            "dropped": np.flatnonzero(~semdedup(image, arrays["kmeans_spherical"], epsilon, keep)).tolist(),
        }
        for epsilon in (0.001, 0.05, 0.2)
        for keep in ("hard", "easy", "first")
    ]
    np.savez(out / "pool.npz", demo_img=image, demo_txt=text)
    np.savez(out / "arrays.npz", targets=targets, **arrays)
    (out / "goldens.json").write_text(json.dumps(golden))


if __name__ == "__main__":
    main(sys.argv[1])
