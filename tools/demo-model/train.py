"""Trains the demo CLIP; every pass leaves a checkpoint that can be exported or gone on from."""

import math
import random
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.func import functional_call

import captions
from images import random_views
from model import build, encode_text
from sources import SEED, Picture

BATCH = 128
RATE = 1e-3
DECAY = 0.2
# Most patches are left out at first (FLIP, arXiv 2212.00794): more passes in the time and less
# to memorise. The last passes see nearly whole pictures, as use does.
PATCH_DROPOUT = 0.5
LAST_DROPOUT = 0.25
LAST_PASSES = 3
SMOOTHING = 0.1
EMA = 0.99


def vocabulary_of(pictures: list[Picture]) -> np.ndarray:
    """Sorted token ids that get a row: those in the words of at least two concepts.

    A token of one picture only teaches that picture, and costs 256 bytes in the export.
    """
    concepts = defaultdict(set)
    for p in pictures:
        texts = [p.subject, p.description, *p.keywords, *p.folders]
        for subject, keywords in p.other.values():
            texts += [subject, *keywords]
        # A separator sticks to the word before it, so those forms are seen too.
        for word in {w for text in texts for w in text.split()}:
            for tail in ("", ",", "."):
                for i in captions.ids_of(word + tail):
                    concepts[i].add(p.concept)
    ids = {i for i, seen in concepts.items() if len(seen) > 1} | {captions.START, captions.END}
    for word in ("emoji", "clip", "art", "drawing", "vector", "-", "|", ","):
        ids.update(captions.ids_of(word))
    return np.array(sorted(ids))


def contrastive_loss(image: torch.Tensor, text: torch.Tensor, scale: torch.Tensor, concept: torch.Tensor) -> torch.Tensor:
    """CLIP's loss where pictures of one concept share the target (as in UniCL, arXiv 2204.03610)."""
    logits = scale * image @ text.T
    same = (concept[:, None] == concept[None]).float()
    target = same / same.sum(1, keepdim=True) * (1 - SMOOTHING) + SMOOTHING / len(same)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def train(pictures: list[Picture], pixels: np.ndarray, sizes: np.ndarray, passes: int, folder: Path,
          after_pass=lambda epoch, state: None) -> dict:
    """Returns the last checkpoint: `ema` (weights, averaged over steps), `vocabulary`, `passes`, `minutes`."""
    torch.manual_seed(SEED)
    vocabulary = vocabulary_of(pictures)
    compact = np.zeros(49408, np.int64)
    compact[vocabulary] = np.arange(1, len(vocabulary) + 1)  # 0: padding and tokens without a row
    concepts = {c: i for i, c in enumerate(sorted({p.concept for p in pictures}))}
    concept = torch.tensor([concepts[p.concept] for p in pictures])
    mirror = np.array([captions.may_mirror(p) for p in pictures])
    model = build(len(vocabulary) + 1, PATCH_DROPOUT).train()
    initial = model.token_embedding.weight.detach().clone()
    shrink = [p for n, p in model.named_parameters() if p.ndim >= 2 and "embedding" not in n]
    keep = [p for n, p in model.named_parameters() if p.ndim < 2 or "embedding" in n]
    optimiser = torch.optim.AdamW([{"params": shrink, "weight_decay": DECAY}, {"params": keep, "weight_decay": 0.0}],
                                  lr=RATE, betas=(0.9, 0.98), eps=1e-6, fused=True)
    ema = {k: v.detach().clone() for k, v in model.state_dict().items()}
    steps, start, spent = len(pictures) // BATCH, 0, 0.0
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        stored = torch.load(checkpoint, weights_only=False)
        model.load_state_dict(stored["model"])
        optimiser.load_state_dict(stored["optimiser"])
        ema, start, spent = stored["ema"], stored["passes"], stored["minutes"]
    for epoch in range(start, passes):
        began = time.monotonic()
        rng = random.Random(SEED * 1000 + epoch)
        generator = torch.Generator().manual_seed(SEED * 1000 + epoch)
        torch.manual_seed(SEED * 1000 + epoch)
        order = list(range(len(pictures)))
        rng.shuffle(order)
        total = 0.0
        model.visual.patch_dropout.prob = LAST_DROPOUT if epoch >= passes - LAST_PASSES else PATCH_DROPOUT
        for step in range(steps):
            done = epoch * steps + step
            rate = RATE * min(1, (done + 1) / steps) * (0.5 + 0.5 * math.cos(math.pi * done / (passes * steps)))
            for group in optimiser.param_groups:
                group["lr"] = rate
            batch = order[step * BATCH:(step + 1) * BATCH]
            views = random_views(pixels[batch], sizes[batch], mirror[batch], 64, generator)
            rows = [captions.training_ids(captions.training_caption(pictures[i], rng), rng) for i in batch]
            ids = np.zeros((BATCH, max(map(len, rows))), np.int64)
            for row, tokens in zip(ids, rows, strict=True):
                row[:len(tokens)] = compact[tokens]
            # bfloat16 halves the picture tower's time; the weights themselves stay in float32.
            half = {k: v.bfloat16() for k, v in model.visual.named_parameters()}
            image = F.normalize(functional_call(model.visual, half, views.bfloat16()).float(), dim=-1)
            text = F.normalize(encode_text(model, torch.from_numpy(ids)), dim=-1)
            loss = contrastive_loss(image, text, model.logit_scale.exp(), concept[batch])
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            with torch.no_grad():
                model.logit_scale.clamp_(0, math.log(100))
                follow = min(EMA, (done + 1) / (done + 10))
                for k, v in model.state_dict().items():
                    ema[k].lerp_(v, 1 - follow)
            total += loss.item()
        spent += (time.monotonic() - began) / 60
        state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "ema": ema,
                 "vocabulary": vocabulary, "passes": epoch + 1, "minutes": spent}
        part = checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.rename(checkpoint)
        print(f"pass {epoch + 1}/{passes}: loss {total / steps:.3f}, {spent:.1f} min", flush=True)
        after_pass(epoch + 1, state)
    final = torch.load(checkpoint, weights_only=False)
    rows = final["ema"]["token_embedding.weight"]
    rows[(rows == initial).all(1)] = 0  # no caption ever drew these tokens
    return final
