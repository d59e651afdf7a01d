"""Feeds resharded shards to open_clip's own training loop, for one short epoch of a tiny model on the CPU.

    python tools/oracle/train_smoke.py SHARDS [BATCH]

The number of samples is left to `sizes.json`, as open_clip's loader reads it, and the list of shards to
`meta.json`, as DataComp's train.py does. Prints one JSON line. Versions in requirements.txt.
"""
import json
import pathlib
import sys
import tempfile

import open_clip
from open_clip_train.data import get_dataset_size
from open_clip_train.main import main as train

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def main():
    shards = pathlib.Path(sys.argv[1]).resolve()
    batch = int(sys.argv[2]) if len(sys.argv) > 2 else 8
    meta = json.loads((shards / "meta.json").read_text())
    first, last = (meta["output_shard_format"].format(i).replace(".tar", "") for i in (0, meta["output_shard_count"] - 1))
    data = f"{shards}/{{{first}..{last}}}.tar"
    samples, count = get_dataset_size(data)
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "shardsieve-tiny.json"
        config.write_text(json.dumps(TINY))
        open_clip.add_model_config(config)
        train(["--train-data", data, "--dataset-type", "webdataset", "--model", "shardsieve-tiny", "--device", "cpu",
               "--precision", "fp32", "--batch-size", str(batch), "--workers", "1", "--epochs", "1", "--warmup", "1",
               "--seed", "0", "--logs", folder, "--name", "smoke", "--save-frequency", "1"])
        trained = (pathlib.Path(folder) / "smoke" / "checkpoints" / "epoch_1.pt").exists()
    print(json.dumps({"samples": samples, "shards": count, "trained": trained}))


if __name__ == "__main__":
    main()
