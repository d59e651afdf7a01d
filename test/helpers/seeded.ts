import { existsSync } from 'node:fs';
import { mkdir, open, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { safetensorsHeader } from '../../src/onnx/safetensors-write.ts';

/** ViT-B/32 at 256×256: the architecture of the default model. */
export const FULL_SIZE = {
  model_cfg: {
    embed_dim: 512,
    vision_cfg: { image_size: 256, layers: 12, width: 768, patch_size: 32 },
    text_cfg: { context_length: 77, vocab_size: 49_408, width: 512, heads: 8, layers: 12 },
  },
};

/**
 * A model folder in open_clip's layout with seeded weights, written once: matrices as wide as open_clip's initialisation
 * makes them, biases and norms drawn too. The same bytes on every machine.
 */
export async function seededModel(folder: string, config = FULL_SIZE): Promise<string> {
  const path = join(folder, 'open_clip_model.safetensors');
  if (existsSync(path)) return folder;
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'open_clip_config.json'), JSON.stringify(config));
  const tensors = shapes(config.model_cfg).map(([name, shape, ...draw]) => {
    const count = shape.reduce((a, b) => a * b, 1);
    return { name, shape, draw, count, dtype: 'F32' as const, length: 4 * count };
  });
  const file = await open(`${path}.part`, 'w');
  await file.write(safetensorsHeader(tensors));
  const next = generator(7);
  for (const { count, draw } of tensors) {
    const [spread, middle] = draw;
    // A flat distribution of this spread.
    const half = spread * Math.sqrt(3);
    await file.write(
      new Uint8Array(Float32Array.from({ length: count }, () => middle + half * next()).buffer),
    );
  }
  await file.close();
  await rename(`${path}.part`, path);
  return folder;
}

type Drawn = [name: string, shape: number[], spread: number, middle: number];

function shapes({ embed_dim, vision_cfg, text_cfg }: (typeof FULL_SIZE)['model_cfg']): Drawn[] {
  const { image_size, patch_size } = vision_cfg;
  const [wide, narrow] = [vision_cfg.width, text_cfg.width];
  return [
    ['logit_scale', [], 0, Math.log(100)],
    ['visual.class_embedding', [wide], wide ** -0.5, 0],
    ['visual.positional_embedding', [(image_size / patch_size) ** 2 + 1, wide], wide ** -0.5, 0],
    ['visual.conv1.weight', [wide, 3, patch_size, patch_size], (3 * patch_size ** 2) ** -0.5, 0],
    ['visual.proj', [wide, embed_dim], wide ** -0.5, 0],
    ...['ln_pre', 'ln_post'].flatMap((name) => norm(`visual.${name}`, wide)),
    ...blocks('visual.transformer', wide, vision_cfg.layers),
    ['token_embedding.weight', [text_cfg.vocab_size, narrow], 0.02, 0],
    ['positional_embedding', [text_cfg.context_length, narrow], 0.01, 0],
    ['text_projection', [narrow, embed_dim], narrow ** -0.5, 0],
    ...norm('ln_final', narrow),
    ...blocks('transformer', narrow, text_cfg.layers),
  ];
}

const norm = (name: string, width: number): Drawn[] => [
  [`${name}.weight`, [width], 0.1, 1],
  [`${name}.bias`, [width], 0.1, 0],
];

function blocks(tower: string, width: number, layers: number): Drawn[] {
  const spread = width ** -0.5;
  const output = spread * (2 * layers) ** -0.5;
  const inner = (2 * width) ** -0.5;
  return Array.from({ length: layers }, (_, i) => `${tower}.resblocks.${i}`).flatMap((at): Drawn[] => [
    ...norm(`${at}.ln_1`, width),
    ...norm(`${at}.ln_2`, width),
    [`${at}.attn.in_proj_weight`, [3 * width, width], spread, 0],
    [`${at}.attn.in_proj_bias`, [3 * width], 0.1, 0],
    [`${at}.attn.out_proj.weight`, [width, width], output, 0],
    [`${at}.attn.out_proj.bias`, [width], 0.1, 0],
    [`${at}.mlp.c_fc.weight`, [4 * width, width], inner, 0],
    [`${at}.mlp.c_fc.bias`, [4 * width], 0.1, 0],
    [`${at}.mlp.c_proj.weight`, [width, 4 * width], output, 0],
    [`${at}.mlp.c_proj.bias`, [width], 0.1, 0],
  ]);
}

/** From −1 to 1, the same everywhere. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return state / 2 ** 31;
  };
}
