"""The demo CLIP: open_clip's own classes at a small size, and its export."""

import json
from pathlib import Path

import numpy as np
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file

from images import MEAN, STD

VOCABULARY = 49408
CONFIG = {
    "model_cfg": {
        "embed_dim": 128,
        "vision_cfg": {"image_size": 64, "layers": 6, "width": 192, "head_width": 64, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": VOCABULARY, "width": 128, "heads": 2, "layers": 3},
    },
    "preprocess_cfg": {"mean": list(MEAN), "std": list(STD), "interpolation": "bicubic", "resize_mode": "shortest"},
}


def build(words: int, patch_dropout: float) -> CLIP:
    """The model with `words` rows of token embedding instead of the whole vocabulary; row 0 stays zero."""
    cfg = CONFIG["model_cfg"]
    model = CLIP(cfg["embed_dim"], {**cfg["vision_cfg"], "patch_dropout": patch_dropout},
                 {**cfg["text_cfg"], "vocab_size": words})
    model.token_embedding.padding_idx = 0
    with torch.no_grad():
        model.token_embedding.weight[0] = 0
    return model


def encode_text(model: CLIP, ids: torch.Tensor) -> torch.Tensor:
    """[b, n <= 77] compact ids -> [b, embed_dim]. The tower is causal, so n may be the longest
    caption's length; end-of-text is the largest compact id."""
    n = ids.shape[1]
    x = model.token_embedding(ids) + model.positional_embedding[:n]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:n, :n]))
    return x[torch.arange(len(ids)), ids.argmax(1)] @ model.text_projection


def export(state: dict[str, torch.Tensor], vocabulary: np.ndarray, folder: Path,
           dtype: torch.dtype = torch.float16) -> None:
    """Writes open_clip's layout; rows of tokens never trained are zero.

    `vocabulary`: the token ids of the compact rows from 1 on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().to(dtype).contiguous().clone() for k, v in state.items() if k != "attn_mask"}
    rows = tensors["token_embedding.weight"]
    whole = torch.zeros(VOCABULARY, rows.shape[1], dtype=dtype)
    whole[torch.from_numpy(vocabulary)] = rows[1:]
    tensors["token_embedding.weight"] = whole
    weights = folder / "open_clip_model.safetensors"
    save_file(tensors, weights, {"format": "pt"})
    weights.chmod(0o644)
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
