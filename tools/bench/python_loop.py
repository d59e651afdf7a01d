"""The Python pipeline to compare with: webdataset + open_clip + Pillow, as its users write it.

python python_loop.py MODEL_DIR SHARD... [--precision fp32|bf16] [--batch 32] [--threads N] [--scores FILE.json]

Prints one JSON line: pairs, seconds (from opening the first shard to the last score; loading the model is
counted apart), processor seconds of that time. With --scores, the keys and the cosines, for parity.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import open_clip
import torch
import webdataset as wds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("shards", nargs="+")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--scores")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    started = time.perf_counter()
    spec = f"local-dir:{Path(args.model).resolve()}"
    model, _, preprocess = open_clip.create_model_and_transforms(spec)
    tokenizer = open_clip.get_tokenizer(spec)
    model.eval()
    if args.precision == "bf16":
        model.to(torch.bfloat16)
    # Shardsieve's clock starts with warm towers, so this one does too.
    with torch.no_grad():
        side = model.visual.image_size
        side = side[0] if isinstance(side, (tuple, list)) else side
        dtype = torch.bfloat16 if args.precision == "bf16" else torch.float32
        model.encode_image(torch.zeros(args.batch, 3, side, side, dtype=dtype))
        model.encode_text(tokenizer(["a warm-up"] * args.batch))
    loaded, used = time.perf_counter(), time.process_time()

    dataset = (
        wds.WebDataset(args.shards, shardshuffle=False)
        .decode("pilrgb", handler=wds.warn_and_continue)
        .rename(image="jpg;jpeg;png;webp;gif", text="txt")
        .map_dict(image=preprocess, text=lambda text: tokenizer(text)[0])
        .to_tuple("__key__", "image", "text")
        .batched(args.batch)
    )
    keys, scores = [], []
    with torch.no_grad():
        for batch_keys, images, texts in wds.WebLoader(dataset, batch_size=None, num_workers=0):
            if args.precision == "bf16":
                images = images.to(torch.bfloat16)
            a = model.encode_image(images, normalize=True)
            b = model.encode_text(texts, normalize=True)
            keys.extend(batch_keys)
            scores.append((a.float() * b.float()).sum(-1).numpy())
    seconds = time.perf_counter() - loaded
    if args.scores:
        with open(args.scores, "w") as file:
            json.dump({"keys": keys, "scores": np.concatenate(scores).tolist()}, file)
    print(
        json.dumps(
            {
                "pairs": len(keys),
                "seconds": seconds,
                "load_seconds": loaded - started,
                "cpu_seconds": time.process_time() - used,
            }
        )
    )


main()
