"""The Python side of tools/bench/embeddings.ts: the same methods as torch, NumPy and faiss do them, on the same files.

    python embeddings.py FOLDER METHOD THREADS

Prints one JSON line with the seconds of the work itself (files read before, libraries loaded), and writes what it
found: from torch in float32 as the methods' authors compute it, and in float64 to compare both sides with.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

TEMPERATURE = 0.01


def timed(work):
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def assign(x, c, batch=1024):
    """DataComp's get_centroid_ids_gpu, on the CPU."""
    labels = [torch.argmax(torch.einsum("ik,jk->ij", x[i : i + batch], c), 1) for i in range(0, len(x), batch)]
    return torch.cat(labels)


def neg_clip_loss(image, text):
    """The authors' cal_new_clip_score for one batch, with log-sum-exp for log(sum(exp)): theirs overflows."""
    s = image @ text.T
    scaled = s / TEMPERATURE
    return torch.diag(s) - TEMPERATURE / 2 * (torch.logsumexp(scaled, 1) + torch.logsumexp(scaled, 0))


def neg_clip_loss_64(image, text, block=2000):
    image, text = image.astype("f8"), text.astype("f8")

    def sums(a, b):
        out = np.empty(len(a))
        for i in range(0, len(a), block):
            s = a[i : i + block] @ b.T / TEMPERATURE
            top = s.max(1)
            out[i : i + block] = top + np.log(np.exp(s - top[:, None]).sum(1))
        return out

    return (image * text).sum(1) - TEMPERATURE / 2 * (sums(image, text) + sums(text, image))


def main(folder, method, threads):
    folder = Path(folder)
    torch.set_num_threads(int(threads))
    load = lambda name: np.load(folder / f"{name}.npy")
    image = load("image")
    if method == "assign":
        c = load("centroids")
        seconds, ids = timed(lambda: assign(torch.from_numpy(image), torch.from_numpy(c)))
        np.save(folder / "assign.npy", ids.numpy()[:, None].astype("f4"))
        exact = np.concatenate([(image[i : i + 2000].astype("f8") @ c.T.astype("f8")).argmax(1) for i in range(0, len(image), 2000)])
        np.save(folder / "assign_64.npy", exact[:, None].astype("f4"))
    elif method == "kmeans":
        import faiss

        faiss.omp_set_num_threads(int(threads))
        k = len(load("centroids"))
        clustering = faiss.Clustering(image.shape[1], k)
        clustering.niter, clustering.seed, clustering.max_points_per_centroid = 5, 0, 10_000_000
        seconds, _ = timed(lambda: clustering.train(image, faiss.IndexFlatL2(image.shape[1])))
        np.save(folder / "kmeans.npy", faiss.vector_to_array(clustering.centroids).reshape(k, -1))
    elif method == "negcliploss":
        text = load("text")
        seconds, scores = timed(lambda: neg_clip_loss(torch.from_numpy(image), torch.from_numpy(text)))
        np.save(folder / "negcliploss.npy", scores.numpy()[:, None])
        np.save(folder / "negcliploss_64.npy", neg_clip_loss_64(image, text)[:, None])
    else:
        targets = load("targets")
        p = {"normsim_2": 2, "normsim_inf": float("inf")}[method]
        norm = lambda x: torch.norm(x @ torch.from_numpy(targets).T, p=p, dim=1)
        x = torch.from_numpy(image)
        seconds, scores = timed(lambda: torch.cat([norm(x[i : i + 4096]) for i in range(0, len(x), 4096)]))
        np.save(folder / f"{method}.npy", scores.numpy()[:, None])
        exact = [np.linalg.norm(image[i : i + 2000].astype("f8") @ targets.astype("f8").T, ord=p, axis=1) for i in range(0, len(x), 2000)]
        np.save(folder / f"{method}_64.npy", np.concatenate(exact)[:, None])
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
