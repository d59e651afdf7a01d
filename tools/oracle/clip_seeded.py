"""Writes a checkpoint folder in open_clip's own layout with seeded weights of any architecture.

    python tools/oracle/clip_seeded.py ViT-B-32-256 OUT [--seed 0] [--dtype F32|F16|BF16]
    python tools/oracle/clip_seeded.py path/to/open_clip_config.json OUT

open_clip leaves biases at zero and norms at one; here they are drawn too, or a tower that forgot them would pass.
Needs the packages of tools/oracle/requirements.txt; nothing is downloaded.
"""
import argparse
import json
from pathlib import Path

import torch
from open_clip import get_model_config
from open_clip.model import CLIP, CustomTextCLIP
from safetensors.torch import save_file

MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]
DTYPES = {'F32': torch.float32, 'F16': torch.float16, 'BF16': torch.bfloat16}


def build(model_cfg, seed, gain=1.0):
    """A model with open_clip's own initialisation, `gain` times its matrices, and drawn biases and norms."""
    cfg = {k: v for k, v in model_cfg.items() if k != 'custom_text'}
    torch.manual_seed(seed)
    model = (CustomTextCLIP if model_cfg.get('custom_text') else CLIP)(**cfg)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            noise = torch.randn(p.shape, generator=generator)
            if name.endswith('bias'):
                p.copy_(noise * 0.1)
            elif '.ln_' in name or name.startswith('ln_'):
                p.copy_(1 + noise * 0.1)
            elif p.ndim > 1 and 'embedding' not in name:
                p.mul_(gain)
    return model.eval()


def save(model, config, folder, dtype='F32'):
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().to(DTYPES[dtype]).contiguous() for k, v in model.state_dict().items()}
    save_file(state, str(folder / 'open_clip_model.safetensors'))
    (folder / 'open_clip_config.json').write_text(json.dumps(config, indent=2) + '\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('arch')
    parser.add_argument('out', type=Path)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--dtype', choices=DTYPES, default='F32')
    args = parser.parse_args()
    if args.arch.endswith('.json'):
        config = json.loads(Path(args.arch).read_text())
    else:
        config = {'model_cfg': get_model_config(args.arch), 'preprocess_cfg': {'mean': MEAN, 'std': STD}}
    save(build(config['model_cfg'], args.seed), config, args.out, args.dtype)


if __name__ == '__main__':
    main()
