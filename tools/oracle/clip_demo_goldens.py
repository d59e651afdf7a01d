"""Goldens of the demo model by open_clip: test/fixtures/clip/demo-golden.json. Run again whenever demo/model changes.

    python tools/oracle/clip_demo_goldens.py

The golden names the SHA-256 of the weights it was made from. Versions: tools/oracle/requirements.txt.
"""
import hashlib
import json
from pathlib import Path

import torch
from clip_goldens import FIXTURES, write

MODEL = Path(__file__).parents[2] / 'demo' / 'model'
OUT = FIXTURES / 'demo-golden.json'


def main():
    torch.set_num_threads(1)
    write(MODEL, OUT)
    golden = json.loads(OUT.read_text())
    golden['weights_sha256'] = hashlib.sha256((MODEL / 'open_clip_model.safetensors').read_bytes()).hexdigest()
    parts = [f'{json.dumps(key)}: {json.dumps(value)}' for key, value in golden.items()]
    OUT.write_text('{\n' + ',\n'.join(parts) + '\n}\n')


if __name__ == '__main__':
    main()
