/** Which linear layers are quantised, and what feeds them. */
import type { ClipConfig } from '../config.ts';
import { imageTower } from '../towers/image.ts';
import { fp32Linear, type Linear, type LinearLayer } from '../towers/linear.ts';
import { textTower } from '../towers/text.ts';
import type { Weights } from '../towers/weights.ts';

/**
 * The layers of both towers that run in 8 bits, in the order in which the graphs use them: the patches' and all of the
 * blocks'. The last projections stay in float32: they are a thousandth of the work and their error is the embedding's.
 */
export function quantisedLayers(config: ClipConfig, weights: Weights): LinearLayer[] {
  const layers: LinearLayer[] = [];
  const note: Linear = (graph, x, layer) => {
    if (isQuantised(layer)) layers.push(layer);
    return fp32Linear(graph, x, layer);
  };
  imageTower(config, weights, note, '');
  textTower(config, weights, note, '');
  return layers;
}

/** Projections are stored `[in, out]`, and are the only ones. */
export function isQuantised({ transposed }: LinearLayer): boolean {
  return transposed;
}

/** The layer that reads the patches' pixels. */
export const PATCHES = 'visual.conv1';

export const isOutProjection = (name: string): boolean => name.endsWith('.attn.out_proj');
export const isMlpOutput = (name: string): boolean => name.endsWith('.mlp.c_proj');

/** The block's name, where the layer reads what attention made of `v`. */
export function blockOfOutProjection(name: string): string | undefined {
  return isOutProjection(name) ? name.slice(0, -'.attn.out_proj'.length) : undefined;
}

/** The block's name, where the layer makes `v`. */
export function blockOfValue(name: string): string | undefined {
  return /^(.+)\.attn\.in_proj\.v$/.exec(name)?.[1];
}

/** The norm that a layer reads from, `undefined` where it reads from something else. */
export function normOf(name: string): string | undefined {
  const attention = /^(.+)\.attn\.in_proj\.[qkv]$/.exec(name);
  if (attention !== null) return `${attention[1]}.ln_1`;
  const mlp = /^(.+)\.mlp\.c_fc$/.exec(name);
  return mlp === null ? undefined : `${mlp[1]}.ln_2`;
}
