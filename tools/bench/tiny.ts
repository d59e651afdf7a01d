/**
 * A seeded model so small that its towers cost next to nothing, and shards of seeded pictures: what is left is the
 * pipeline. No number that the model makes means anything.
 */
import { link, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { encodeSafetensors, type NamedTensor } from '../../src/onnx/safetensors-write.ts';
import { type Members, makeTar } from '../../test/helpers/shards.ts';

const WIDTH = 32;
const HEADS = 2;
const DIM = 16;
const VOCABULARY = 49_408;
const CONTEXT = 77;

/** Numbers in [-1, 1), the same for a seed everywhere: a linear congruential generator (Numerical Recipes). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

/** Writes a checkpoint folder with one layer in each tower; pictures are `side` square, two patches a side. */
export async function makeTinyModel(folder: string, side = 64): Promise<void> {
  const random = seeded(1);
  const tensor = (name: string, ...shape: number[]): NamedTensor => {
    const length = shape.reduce((product, n) => product * n, 1);
    return { name, shape, data: Float32Array.from({ length }, () => 0.1 * random()) };
  };
  const patch = side / 2;
  const block = (prefix: string): NamedTensor[] => [
    tensor(`${prefix}.ln_1.weight`, WIDTH),
    tensor(`${prefix}.ln_1.bias`, WIDTH),
    tensor(`${prefix}.attn.in_proj_weight`, 3 * WIDTH, WIDTH),
    tensor(`${prefix}.attn.in_proj_bias`, 3 * WIDTH),
    tensor(`${prefix}.attn.out_proj.weight`, WIDTH, WIDTH),
    tensor(`${prefix}.attn.out_proj.bias`, WIDTH),
    tensor(`${prefix}.ln_2.weight`, WIDTH),
    tensor(`${prefix}.ln_2.bias`, WIDTH),
    tensor(`${prefix}.mlp.c_fc.weight`, 4 * WIDTH, WIDTH),
    tensor(`${prefix}.mlp.c_fc.bias`, 4 * WIDTH),
    tensor(`${prefix}.mlp.c_proj.weight`, WIDTH, 4 * WIDTH),
    tensor(`${prefix}.mlp.c_proj.bias`, WIDTH),
  ];
  const norm = (name: string): NamedTensor[] => [
    tensor(`${name}.weight`, WIDTH),
    tensor(`${name}.bias`, WIDTH),
  ];
  const tensors = [
    tensor('logit_scale'),
    tensor('visual.conv1.weight', WIDTH, 3, patch, patch),
    tensor('visual.class_embedding', WIDTH),
    tensor('visual.positional_embedding', 5, WIDTH),
    ...norm('visual.ln_pre'),
    ...block('visual.transformer.resblocks.0'),
    ...norm('visual.ln_post'),
    tensor('visual.proj', WIDTH, DIM),
    tensor('token_embedding.weight', VOCABULARY, WIDTH),
    tensor('positional_embedding', CONTEXT, WIDTH),
    ...block('transformer.resblocks.0'),
    ...norm('ln_final'),
    tensor('text_projection', WIDTH, DIM),
  ];
  const config = {
    model_cfg: {
      embed_dim: DIM,
      vision_cfg: { image_size: side, layers: 1, width: WIDTH, head_width: WIDTH / HEADS, patch_size: patch },
      text_cfg: {
        context_length: CONTEXT,
        vocab_size: VOCABULARY,
        width: WIDTH,
        heads: HEADS,
        layers: 1,
      },
    },
  };
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'open_clip_model.safetensors'), encodeSafetensors(tensors));
  await writeFile(join(folder, 'open_clip_config.json'), `${JSON.stringify(config, null, 2)}\n`);
}

export interface TinyPool {
  shards: number;
  samples: number;
  /** Side of the JPEGs, pixels. */
  side: number;
}

/** One shard of different pictures under many names. Returns its paths. */
export async function makeTinyPool(folder: string, { shards, samples, side }: TinyPool): Promise<string[]> {
  const random = seeded(2);
  const members: Members = [];
  const words = 'a photo of the old red house by blue lake with dog and cat under snow at night'.split(' ');
  for (let i = 0; i < samples; i++) {
    const key = String(i).padStart(6, '0');
    const caption = Array.from(
      { length: 8 + (i % 9) },
      () => words[Math.floor((random() + 1) * (words.length / 2))],
    );
    members.push([`${key}.jpg`, await jpeg(side, random)], [`${key}.txt`, `${caption.join(' ')} ${i}`]);
  }
  await mkdir(folder, { recursive: true });
  const paths = Array.from({ length: shards }, (_, i) => join(folder, `${String(i).padStart(5, '0')}.tar`));
  await writeFile(paths[0], await makeTar(members));
  for (const path of paths.slice(1)) await link(paths[0], path);
  return paths;
}

/** A smooth picture: a few random colours, drawn out. */
async function jpeg(side: number, random: () => number): Promise<Uint8Array> {
  const coarse = Math.min(16, side);
  const data = Uint8Array.from({ length: coarse * coarse * 3 }, () => (random() + 1) * 128);
  return sharp(data, { raw: { width: coarse, height: coarse, channels: 3 } })
    .resize(side, side, { kernel: 'cubic' })
    .jpeg({ quality: 90 })
    .toBuffer();
}
