"""scikit-learn on small data, for test/safety/heads/train.test.ts. Usage: heads_train_goldens.py OUT

Needs scikit-learn 1.9.1, SciPy 1.17.1, NumPy 2.4.6.
"""

import json
import sys

import numpy as np
import sklearn
from scipy.stats import binomtest
from sklearn.calibration import _sigmoid_calibration
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

ROWS, DIM, TRAIN = 400, 16, 300


def data(rng):
    """Unit vectors of three overlapping kinds, the third rare."""
    labels = rng.choice(3, ROWS, p=[0.55, 0.33, 0.12])
    rows = rng.standard_normal((ROWS, DIM)) + 0.55 * rng.standard_normal((3, DIM))[labels]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


def fitted(x, y, **options):
    model = LogisticRegression(tol=1e-10, max_iter=100_000, **options).fit(x.astype(np.float64), y)
    return {"coef": model.coef_.tolist(), "intercept": model.intercept_.tolist()}, model


def delong(scores, labels):
    """Area and its standard error by comparing every pair."""
    p, n = scores[labels == 1], scores[labels == 0]
    wins = (p[:, None] > n[None, :]) + 0.5 * (p[:, None] == n[None, :])
    return wins.mean(), np.sqrt(wins.mean(1).var(ddof=1) / len(p) + wins.mean(0).var(ddof=1) / len(n))


def main(out):
    rng = np.random.default_rng(20261125)
    x, kinds = data(rng)
    y = (kinds == 1).astype(int)
    np.save(f"{out}/train.npy", x)
    golden = {"sklearn": sklearn.__version__, "kinds": kinds.tolist(), "train": TRAIN, "linear": {}}
    for name, options in {
        "plain": {"C": 1.0},
        "balanced": {"C": 10.0, "class_weight": "balanced"},
    }.items():
        weights, model = fitted(x[:TRAIN], y[:TRAIN], **options)
        scores = model.decision_function(x[TRAIN:].astype(np.float64))
        golden["linear"][name] = {**weights, "auc": roc_auc_score(y[TRAIN:], scores)}
    golden["three"], _ = fitted(x[:TRAIN], kinds[:TRAIN], C=2.0)

    scores = np.round(rng.normal(size=200) + 1.2 * (labels := rng.integers(0, 2, 200)), 1)
    area, error = delong(scores, labels)
    golden["metrics"] = {
        "scores": scores.tolist(),
        "labels": labels.tolist(),
        "roc_auc": roc_auc_score(labels, scores),
        "delong": [area, error],
        "average_precision": average_precision_score(labels, scores),
    }
    golden["wilson"] = [
        [hits, count, *binomtest(hits, count).proportion_ci(0.95, "wilson")] for hits, count in [(8, 10), (0, 5), (997, 1000)]
    ]
    a, b = _sigmoid_calibration(scores, labels)
    golden["platt"] = {"a": -a, "b": -b}
    isotonic = IsotonicRegression(out_of_bounds="clip", y_min=0, y_max=1).fit(scores, labels)
    grid = np.linspace(-4, 5, 61)
    golden["isotonic"] = {"at": grid.tolist(), "y": isotonic.predict(grid).tolist()}
    with open(f"{out}/train.json", "w") as file:
        json.dump(golden, file)
        file.write("\n")
    print({k: v["auc"] for k, v in golden["linear"].items()}, golden["platt"], area, error)


if __name__ == "__main__":
    main(sys.argv[1])
