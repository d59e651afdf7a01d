"""Golden of zero-shot classification by open_clip: test/fixtures/clip/zero-shot.json.

    python tools/oracle/zero_shot_goldens.py

The demo model over the first pictures of a demo shard: `open_clip.build_zero_shot_classifier` over labels and templates,
then the softmax of the cosines times the model's logit scale. Run again whenever `demo/model` changes; the golden names
the SHA-256 of the weights. Versions: tools/oracle/requirements.txt.
"""
import hashlib
import io
import json
import tarfile
from pathlib import Path

import open_clip
import torch
from PIL import Image

ROOT = Path(__file__).parents[2]
MODEL = ROOT / 'demo' / 'model'
SHARD = 'demo/shards/demo-00000.tar'
OUT = ROOT / 'test' / 'fixtures' / 'clip' / 'zero-shot.json'
PICTURES = 6
LABELS = ['flag', 'animal', 'human face', 'Musical Instrument']
TEMPLATES = ['a drawing of a {}.', 'clip art: {}', '{}']


def main():
    torch.set_num_threads(1)
    model, _, preprocess = open_clip.create_model_and_transforms(f'local-dir:{MODEL}')
    model.eval()
    tokenizer = open_clip.get_tokenizer(f'local-dir:{MODEL}')
    pictures = []
    with tarfile.open(ROOT / SHARD) as tar:
        for member in tar:
            if len(pictures) < PICTURES and Path(member.name).suffix in ('.jpg', '.png', '.webp'):
                # As webdataset's `pilrgb` decodes for open_clip: to RGB before the transform.
                pictures.append(Image.open(io.BytesIO(tar.extractfile(member).read())).convert('RGB'))
        inputs = torch.stack([preprocess(picture) for picture in pictures])
    with torch.no_grad():
        classifier = open_clip.build_zero_shot_classifier(model, tokenizer, LABELS, TEMPLATES, use_tqdm=False)
        image = model.encode_image(inputs, normalize=True)
        cosines = image @ classifier
        probabilities = (model.logit_scale.exp() * cosines).softmax(dim=-1)
    golden = {
        'made_by': 'tools/oracle/zero_shot_goldens.py',
        'open_clip': open_clip.__version__,
        'torch': torch.__version__.split('+')[0],
        'weights_sha256': hashlib.sha256((MODEL / 'open_clip_model.safetensors').read_bytes()).hexdigest(),
        'shard': SHARD,
        'labels': LABELS,
        'templates': TEMPLATES,
        'similarities': cosines.tolist(),
        'probabilities': probabilities.tolist(),
    }
    parts = [f'{json.dumps(key)}: {json.dumps(value)}' for key, value in golden.items()]
    OUT.write_text('{\n' + ',\n'.join(parts) + '\n}\n')


if __name__ == '__main__':
    main()
