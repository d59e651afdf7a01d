"""Makes test/fixtures/clip: small seeded checkpoints and what open_clip computes with them.

    python tools/oracle/clip_goldens.py              all small checkpoints
    python tools/oracle/clip_goldens.py FOLDER OUT   goldens of one existing checkpoint folder (the demo model, or a
                                                     full-size one), written to OUT

Each golden holds, for a few pictures and captions given by formula (`pixels`, `captions`), open_clip's float32
embeddings after `F.normalize`, and the float32 cosines `(image * text).sum(-1)`. The model is loaded as a
user would load it: `open_clip.create_model('local-dir:FOLDER')`. Versions: tools/oracle/requirements.txt.
"""
import json
import sys
from pathlib import Path

import numpy as np
import open_clip
import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))
from clip_seeded import MEAN, STD, build, save  # noqa: E402

FIXTURES = Path(__file__).parents[2] / 'test' / 'fixtures' / 'clip'
TEXT = {'context_length': 77, 'vocab_size': 64, 'width': 16, 'heads': 2, 'layers': 2}
VISION = {'image_size': 32, 'layers': 2, 'width': 24, 'head_width': 8, 'patch_size': 8}
SMALL = {
    # name: (stored type, model_cfg)
    'gelu-f32': ('F32', {'embed_dim': 12, 'vision_cfg': VISION, 'text_cfg': TEXT}),
    'quickgelu-f16': ('F16', {'embed_dim': 12, 'vision_cfg': VISION, 'text_cfg': TEXT, 'quick_gelu': True}),
    # L/14 in small: patches whose side is no power of two, the text tower in a module of its own.
    'patch14-bf16-custom-text': ('BF16', {
        'embed_dim': 16, 'custom_text': True, 'vision_cfg': {**VISION, 'image_size': 42, 'patch_size': 14},
        'text_cfg': {**TEXT, 'layers': 3},
    }),
    # H/14 in small: heads of a width that is no power of two, and g/14's odd MLP ratio.
    'head10-f32': ('F32', {
        'embed_dim': 8, 'quick_gelu': True,
        'vision_cfg': {'image_size': 28, 'layers': 3, 'width': 20, 'head_width': 10, 'patch_size': 7, 'mlp_ratio': 4.3637},
        'text_cfg': {**TEXT, 'context_length': 24, 'heads': 4},
    }),
}


def pixels(n, side):
    """float32 in [-2, 2], the same in every language: integers below 2**53 and one division."""
    i = np.arange(n * 3 * side * side, dtype=np.int64)
    values = (i * 7919 + (i // (3 * side * side)) * 104729 + (i // side) * 31) % 65521 / 65521 * 4 - 2
    return values.astype(np.float32).reshape(n, 3, side, side)


def captions(context, vocab):
    """Ids of captions of 2 to `context` tokens: the largest id closes each, and may come twice."""
    end = vocab - 1
    lengths = sorted({2, 3, 7, 8, min(15, context), context - 1, context})
    rows = []
    for k, length in enumerate(lengths):
        words = [(k * 131 + j * j * 17 + j * 5) % (vocab - 2) for j in range(length - 2)]
        rows.append([vocab - 2, *words, end])
    # A literal end-of-text inside: everything after it is beyond the pooled token.
    rows.append([vocab - 2, 5, end, 9, 11, end])
    return rows


def golden(folder, n=3):
    model = open_clip.create_model(f'local-dir:{folder}').eval()
    config = json.loads((folder / 'open_clip_config.json').read_text())['model_cfg']
    text_cfg = config['text_cfg']
    rows = captions(text_cfg.get('context_length', 77), text_cfg.get('vocab_size', 49408))
    ids = torch.zeros(len(rows), model.context_length, dtype=torch.long)
    for k, row in enumerate(rows):
        ids[k, :len(row)] = torch.tensor(row)
    with torch.no_grad():
        image = model.encode_image(torch.from_numpy(pixels(n, config['vision_cfg'].get('image_size', 224))))
        text = model.encode_text(ids)
        image_unit, text_unit = F.normalize(image, dim=-1), F.normalize(text, dim=-1)
        cosines = [[float((a * b).sum(-1)) for b in text_unit] for a in image_unit]
        scale = float(model.logit_scale.exp())

    def short(tensor):
        return [[float(f'{v:.9g}') for v in row] for row in tensor.tolist()]

    return {
        'made_by': 'tools/oracle/clip_goldens.py',
        'open_clip': open_clip.__version__,
        'torch': torch.__version__.split('+')[0],
        'pictures': n,
        'ids': rows,
        'logit_scale': scale,
        'image_unit': short(image_unit),
        'text_unit': short(text_unit),
        'cosines': short(torch.tensor(cosines)),
    }


def write(folder, out, n=3):
    parts = [f'{json.dumps(key)}: {json.dumps(value)}' for key, value in golden(folder, n).items()]
    out.write_text('{\n' + ',\n'.join(parts) + '\n}\n')


def main():
    torch.set_num_threads(1)
    if len(sys.argv) == 3:
        write(Path(sys.argv[1]), Path(sys.argv[2]))
        return
    for seed, (name, (dtype, cfg)) in enumerate(SMALL.items()):
        folder = FIXTURES / name
        config = {'model_cfg': cfg, 'preprocess_cfg': {'mean': MEAN, 'std': STD}}
        save(build(cfg, seed, gain=1.5), config, folder, dtype)
        write(folder, folder / 'golden.json')


if __name__ == '__main__':
    main()
