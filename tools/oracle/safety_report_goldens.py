"""A small pool with safety columns, and what scikit-learn, SciPy and statsmodels say of it, for
test/cli/safety-report.test.ts. Usage: safety_report_goldens.py OUT

Needs scikit-learn 1.9.1, SciPy 1.17.1, statsmodels, NumPy 2.4.6, pyarrow.
"""

import csv
import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy
import sklearn
import statsmodels
from scipy.stats import norm, spearmanr
from sklearn.metrics import average_precision_score, cohen_kappa_score, roc_auc_score
from statsmodels.stats.power import normal_sample_size_one_tail
from statsmodels.stats.proportion import proportion_confint

ROWS, LABELLED = 900, 260
LEVELS = {"unsure": 0.1, "nsfw": 0.5}
HEADS = ["nsfw_laion_l14", "safety_weapons"]


def columns(rng):
    """Two heads that see the same thing through different noise, rounded so that there are ties, some exactly at a threshold."""
    truth = rng.random(ROWS) < 0.2
    seen = rng.normal(size=ROWS) * 0.4 + 2.2 * truth
    table = {}
    for name, noise, shift in zip(HEADS, (1.0, 1.6), (2.6, 2.9)):
        logit = seen + rng.normal(size=ROWS) * noise - shift
        table[name] = np.round(1 / (1 + np.exp(-logit)), 2).astype(np.float32)
    language = rng.choice(["en", "de", "zh"], ROWS, p=[0.6, 0.25, 0.15])
    # One head errs more on one language.
    table[HEADS[1]] = np.where(language == "zh", np.minimum(1, table[HEADS[1]] + np.float32(0.07)), table[HEADS[1]])
    table[HEADS[1]][rng.choice(ROWS, 40, replace=False)] = np.nan
    return truth, language, table


def at(scores, threshold):
    return scores >= np.float32(threshold)


def wilson(hits, count):
    return [hits / count, *proportion_confint(hits, count, alpha=0.05, method="wilson")]


def delong(a, b, labels):
    """Both areas, the error of their difference, and the parts of its variance, by comparing every pair."""

    def parts(scores):
        p, n = scores[labels == 1].astype(float), scores[labels == 0].astype(float)
        wins = (p[:, None] > n[None, :]) + 0.5 * (p[:, None] == n[None, :])
        return wins.mean(), wins.mean(1), wins.mean(0)

    (area_a, pos_a, neg_a), (area_b, pos_b, neg_b) = parts(a), parts(b)
    v1, v0 = (pos_a - pos_b).var(ddof=1), (neg_a - neg_b).var(ddof=1)
    m, n = int(labels.sum()), int((1 - labels).sum())
    difference, error = area_a - area_b, np.sqrt(v1 / m + v0 / n)
    share = m / (m + n)
    spread = np.sqrt(v1 / share + v0 / (1 - share))
    return {
        "areas": [area_a, area_b],
        "difference": difference,
        "error": error,
        "p": 2 * norm.sf(abs(difference / error)),
        # Samples for a power of 80% at 5%, two-sided: one tail of half the size.
        "needed": normal_sample_size_one_tail(abs(difference), 0.8, 0.025, std_null=spread),
        "samples": m + n,
    }


def auc(scores, labels):
    p, n = scores[labels == 1].astype(float), scores[labels == 0].astype(float)
    wins = (p[:, None] > n[None, :]) + 0.5 * (p[:, None] == n[None, :])
    error = np.sqrt(wins.mean(1).var(ddof=1) / len(p) + wins.mean(0).var(ddof=1) / len(n))
    area = roc_auc_score(labels, scores)
    half = norm.ppf(0.975) * error
    return [area, max(0, area - half), min(1, area + half)]


def main(out):
    rng = np.random.default_rng(20261125)
    truth, language, heads = columns(rng)
    uids = [f"{int.from_bytes(rng.bytes(16), 'big'):032x}" for _ in range(ROWS)]
    sides = rng.integers(90, 1500, (2, ROWS))
    half = ROWS // 2
    table = pa.table(
        {
            "uid": uids,
            "text": [("word " * int(k)).strip() for k in rng.integers(1, 30, ROWS)],
            "original_width": pa.array(sides[0], pa.int64()),
            "original_height": pa.array(sides[1], pa.int64()),
            "lang_fasttext": language.tolist(),
            **{name: pa.array(values, pa.float32(), from_pandas=True) for name, values in heads.items()},
        }
    )
    for i, part in enumerate((table[:half], table[half:])):
        pq.write_table(part, f"{out}/{i:05d}.parquet", compression="snappy")

    chosen = rng.permutation(ROWS)[:LABELLED]
    with open(f"{out}/labels.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["uid", "label"])
        writer.writerows((uids[i], int(truth[i])) for i in chosen)

    a, b = (heads[name] for name in HEADS)
    both = ~np.isnan(a) & ~np.isnan(b)
    golden = {"versions": [sklearn.__version__, scipy.__version__, statsmodels.__version__], "rows": ROWS}
    golden["removed"] = {
        name: {
            level: [int(at(values, t).sum()), *wilson(int(at(values, t).sum()), int((~np.isnan(values)).sum()))]
            for level, t in LEVELS.items()
        }
        for name, values in heads.items()
    }
    golden["curve"] = {
        name: [[t, int((values >= np.float32(t)).sum())] for t in (0.01, 0.07, 0.1, 0.29, 0.5, 0.7, 0.9, 1.0)]
        for name, values in heads.items()
    }
    golden["pair"] = {
        "rows": int(both.sum()),
        "spearman": spearmanr(a[both], b[both]).statistic,
        "kappa": {level: cohen_kappa_score(at(a[both], t), at(b[both], t)) for level, t in LEVELS.items()},
        "only_b": {level: int((~at(a, t) & at(b, t) & both).sum()) for level, t in LEVELS.items()},
    }
    golden["alone"] = {
        level: [int((at(a, t) & ~at(b, t)).sum()), int((~at(a, t) & at(b, t)).sum())] for level, t in LEVELS.items()
    }
    golden["language"] = {
        code: {
            name: wilson(int((at(values, 0.1) & (language == code)).sum()), int((~np.isnan(values) & (language == code)).sum()))
            for name, values in heads.items()
        }
        for code in ("en", "de", "zh")
    }
    golden["small"] = wilson(
        int((at(a, 0.1) & (sides.min(0) < 200) & (sides.min(0) >= 128)).sum()),
        int(((sides.min(0) < 200) & (sides.min(0) >= 128)).sum()),
    )
    labels = truth[chosen].astype(int)
    golden["labelled"] = {}
    for name, values in heads.items():
        own = values[chosen]
        there = ~np.isnan(own)
        s, y = own[there], labels[there]
        flagged = at(s, 0.1)
        golden["labelled"][name] = {
            "samples": int(there.sum()),
            "roc_auc": auc(s, y),
            "average_precision": average_precision_score(y, s),
            "precision": wilson(int(y[flagged].sum()), int(flagged.sum())),
            "recall": wilson(int(y[flagged].sum()), int(y.sum())),
        }
    there = both[chosen]
    golden["delong"] = delong(a[chosen][there], b[chosen][there], labels[there])
    with open(f"{out}/expected.json", "w") as file:
        json.dump(golden, file, indent=1, default=float)
        file.write("\n")
    print(json.dumps(golden["delong"], default=float), golden["pair"])


if __name__ == "__main__":
    main(sys.argv[1])
