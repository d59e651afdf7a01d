"""Scores a shard with open_clip and compares with Shardsieve's metadata of the same shard, by kind of picture.

python parity.py MODEL_DIR METADATA_DIR SHARD...

The reference for a picture is webdataset's: Image.open(f).convert("RGB"), then open_clip's own transform and model in
fp32. Prints a Markdown table by format and Pillow mode: pictures, largest and mean |difference of cosine|; and every
sample that one side scored and the other refused.
"""

import io
import json
import sys
import tarfile
import warnings
from collections import defaultdict
from pathlib import Path

import open_clip
import pandas as pd
import torch
from PIL import Image

warnings.filterwarnings("ignore")
BATCH = 16


def samples(shards):
    for shard in shards:
        members = defaultdict(dict)
        with tarfile.open(shard) as tar:
            for member in tar:
                key, ext = member.name.split(".", 1)
                members[key][ext] = tar.extractfile(member).read()
        for key, parts in members.items():
            image = next(data for ext, data in parts.items() if ext not in ("txt", "json"))
            yield Path(shard).stem, key, image, parts["txt"].decode()


def main() -> None:
    model_dir, metadata, *shards = sys.argv[1:]
    spec = f"local-dir:{Path(model_dir).resolve()}"
    model, _, preprocess = open_clip.create_model_and_transforms(spec)
    tokenizer = open_clip.get_tokenizer(spec)
    model.eval()

    ours, skipped = {}, {}
    for parquet in sorted(Path(metadata).glob("*.parquet")):
        table = pd.read_parquet(parquet)
        column = next(name for name in table.columns if name.startswith("clip_"))
        ours |= {(parquet.stem, key): score for key, score in zip(table.key, table[column])}
    for lines in sorted(Path(metadata).glob("*_skipped.jsonl")):
        stem = lines.name.removesuffix("_skipped.jsonl")
        for line in lines.read_text().splitlines():
            skip = json.loads(line)
            skipped[stem, skip["key"]] = f"{skip['reason']}: {skip['detail']}"

    differences, disagreements, batch = defaultdict(list), [], []

    def flush():
        if not batch:
            return
        with torch.no_grad():
            images = model.encode_image(torch.stack([item[2] for item in batch]), normalize=True)
            texts = model.encode_text(tokenizer([item[3] for item in batch]), normalize=True)
        for (kind, name, _, _), score in zip(batch, (images * texts).sum(-1).tolist()):
            if name in ours:
                differences[kind].append((abs(score - float(ours[name])), name[1]))
            else:
                disagreements.append(f"only Pillow opens {name[1]} ({kind}); {skipped.get(name, 'not seen')}")
        batch.clear()

    opened = refused = 0
    for stem, key, data, caption in samples(shards):
        try:
            picture = Image.open(io.BytesIO(data))
            kind = f"{picture.format} {picture.mode}"
            if picture.format not in ("JPEG", "PNG", "WEBP", "GIF", "MPO"):
                raise ValueError(f"a {picture.format}")
            if getattr(picture, "layers", 3) == 4:
                kind += " CMYK"
            pixels = preprocess(picture.convert("RGB"))
        except Exception as error:
            refused += 1
            if (stem, key) in ours:
                disagreements.append(f"only Shardsieve opens {key}: Pillow says {error!r}")
            continue
        opened += 1
        batch.append((kind, (stem, key), pixels, caption))
        if len(batch) == BATCH:
            flush()
    flush()

    print(f"{opened} pictures that Pillow opens, {refused} that it refuses\n")
    print("| kind | pictures | largest | mean | which |\n|---|---|---|---|---|")
    for kind, values in sorted(differences.items()):
        worst, name = max(values)
        mean = sum(value for value, _ in values) / len(values)
        print(f"| {kind} | {len(values)} | {worst:.1e} | {mean:.1e} | {name} |")
    print()
    for line in disagreements:
        print(f"- {line}")


main()
