"""Makes demo/model and demo/shards: reads the pictures, trains, exports, judges, writes the shards.

    python tools/demo-model/build.py --openclipart /usr/share/openclipart --emoji tools/demo-model/node_modules

See README.md. Interrupted, it goes on from the last pass.
"""

import argparse
import gzip
import hashlib
import json
import os
from importlib.metadata import version
from pathlib import Path

# Waiting threads sleep: on a machine with other work, spinning doubles the cost of a step.
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import numpy as np
import torch

import evaluate
import images
import model
import shards
import sources
import train

PASSES = 40


def main() -> None:
    here = Path(__file__).resolve().parent
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--openclipart", type=Path, default=Path("/usr/share/openclipart"))
    options.add_argument("--emoji", type=Path, default=here / "node_modules")
    options.add_argument("--cache", type=Path, default=here / ".cache")
    options.add_argument("--out", type=Path, default=here.parents[1] / "demo")
    options.add_argument("--passes", type=int, default=PASSES)
    options.add_argument("--threads", type=int, default=0)
    args = options.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)

    drawings = sources.read_drawings(args.openclipart)
    emoji = sources.read_emoji(args.emoji)
    pixels, sizes = images.decode_all(drawings, args.cache)
    kept, held = sources.split_drawings(drawings, pixels)
    seen = [p for p in emoji if p.style != sources.UNSEEN_STYLE]
    seen_pixels, seen_sizes = images.decode_all(seen, args.cache)
    training = [drawings[i] for i in kept] + seen
    held_out = [drawings[i] for i in held]
    unseen = [p for p in emoji if p.style == sources.UNSEEN_STYLE]
    print(f"training {len(training)}, held out {len(held_out)}, unseen style {len(unseen)}", flush=True)

    def look(epoch: int, state: dict) -> None:
        if epoch % 4 == 0:
            model.export(state["ema"], state["vocabulary"], args.cache / "model")
            print(f"  held out AUC {evaluate.auc(evaluate.judge([args.cache / 'model'], held_out)[0]):.4f}", flush=True)

    state = train.train(training, np.concatenate([pixels[kept], seen_pixels]), np.concatenate([sizes[kept], seen_sizes]),
                        args.passes, args.cache, look)
    model.export(state["ema"], state["vocabulary"], args.out / "model")
    model.export(state["ema"], state["vocabulary"], args.cache / "model-fp32", torch.float32)
    shards.write(held_out, args.out / "shards")
    report(args, state, training, held_out, unseen)


def report(args: argparse.Namespace, state: dict, training: list, held_out: list, unseen: list) -> None:
    """Judges the exported model and writes report.json here and expected.json beside the shards."""
    fp32, fp16 = args.cache / "model-fp32", args.out / "model"
    drawings = evaluate.judge([fp32, fp16], held_out)
    titled = [i for i, p in enumerate(held_out) if p.descriptive]
    emoji = evaluate.judge([fp16], unseen)[0]
    samples = shards.read(args.out / "shards")
    records = [record for record, _ in samples]
    scores = np.diag(evaluate.cosines([fp16], (image for _, image in samples), [r["caption"] for r in records])[0])
    exchanged = np.array([r["exchanged"] for r in records])
    true, other = scores[~exchanged], scores[exchanged]
    weights = (fp16 / "open_clip_model.safetensors").read_bytes()
    found = {
        "versions": {name: version(name) for name in ("open_clip_torch", "torch", "torchvision", "pillow", "numpy")},
        "seed": sources.SEED,
        "weights": {"sha256": hashlib.sha256(weights).hexdigest(), "bytes": len(weights),
                    "gzip": len(gzip.compress(weights, 9, mtime=0)), "token_rows": int((state["ema"]["token_embedding.weight"] != 0).any(1).sum())},
        "training": {"pairs": len(training), "drawings": sum(p.style == "openclipart" for p in training),
                     "emoji": sum(p.style != "openclipart" for p in training),
                     "passes": state["passes"], "minutes": round(state["minutes"], 1)},
        "auc": {
            "held_out_fp32": round(evaluate.auc(drawings[0]), 4), "held_out_fp16": round(evaluate.auc(drawings[1]), 4),
            "held_out": len(held_out), "titled_fp16": round(evaluate.auc(drawings[1][np.ix_(titled, titled)]), 4),
            "titled": len(titled), f"unseen_style_{sources.UNSEEN_STYLE}_fp16": round(evaluate.auc(emoji), 4),
            "unseen_style": len(unseen),
            "demo_true_against_exchanged_fp16": round(float((true[:, None] > other).mean()), 4),
        },
        "demo": {"samples": len(records), "exchanged": int(exchanged.sum()),
                 "keeps": [evaluate.keeps(scores, exchanged, f) for f in (0.4, 0.5, 0.55, 0.6, 0.65, 0.7)]},
    }
    text = json.dumps(found, indent=2)
    print(text)
    (Path(__file__).parent / "report.json").write_text(text + "\n")
    rows = {r["uid"]: round(float(s), 6) for r, s in zip(records, scores, strict=True)}
    expected = {key: found[key] for key in ("versions", "weights", "auc", "demo")} | {"scores": rows}
    (args.out / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
