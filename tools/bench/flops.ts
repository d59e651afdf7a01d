/** What a pair costs by the architecture: products of matrices only, two operations a multiplication. */
import { join } from 'node:path';
import { fs } from 'zx';
import { parseClipConfig } from '../../src/clip/config.ts';

/** Of one transformer over `tokens` tokens: four products of the width and two of the MLP a layer, and attention. */
function transformer(tokens: number, width: number, layers: number, mlp: number): number {
  return layers * (2 * tokens * width * (4 * width + 2 * mlp) + 4 * tokens * tokens * width);
}

/** GFLOP of an image and of a caption of `tokens` tokens: 11.5 and 1.1 for ViT-B/32-256 at 15. */
export async function gflopOf(folder: string, tokens: number): Promise<{ image: number; caption: number }> {
  const { vision, text } = parseClipConfig(await fs.readFile(join(folder, 'open_clip_config.json'), 'utf8'));
  const patches = (vision.imageSize / vision.patchSize) ** 2;
  const embedding = 2 * patches * 3 * vision.patchSize ** 2 * vision.width;
  return {
    image: (embedding + transformer(patches + 1, vision.width, vision.layers, vision.mlpWidth)) / 1e9,
    caption: transformer(tokens, text.width, text.layers, text.mlpWidth) / 1e9,
  };
}
