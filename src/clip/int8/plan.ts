/** What is done to each tensor when a checkpoint is quantised: decided before anything is written. */
import type { LinearLayer } from '../towers/linear.ts';
import type { Ranges } from './calibrate.ts';
import { type Equaliser, equalise, equalised, type Reader } from './equalise.ts';
import { blockOfOutProjection, blockOfValue, isMlpOutput, normOf, PATCHES } from './layers.ts';
import { type InputScale, inputScale, spread } from './scales.ts';
import { LEAST_ACTIVATION } from './shift.ts';

export interface LayerPlan {
  readonly layer: LinearLayer;
  readonly input: InputScale;
  /** The change of variables in its input, which its columns take back. */
  readonly before: Equaliser | undefined;
  /** The change of variables in its output, made for the layer that reads it. */
  readonly after: Equaliser | undefined;
}

export interface QuantisePlan {
  readonly layers: readonly LayerPlan[];
  /** Changes of variables in what norms give, by the norm's name. */
  readonly norms: ReadonlyMap<string, Equaliser>;
}

/**
 * Layers that read a norm, or what attention makes of `v`, may get their input equalised; the norm, or `v`, absorbs it.
 * What comes out of GELU cannot be moved through it. Pixels are turned into bytes by `pixels`. `read` gives a layer's
 * weight, `[out, in]`.
 */
export async function planQuantising(
  layers: readonly LinearLayer[],
  ranges: Ranges,
  pixels: Required<InputScale>,
  read: (layer: LinearLayer) => Promise<Float32Array>,
): Promise<QuantisePlan> {
  const sourceOf = ({ name }: LinearLayer) => normOf(name) ?? blockOfOutProjection(name);
  // The last block's query sees the pooled tokens only: what a norm ranges over is what all of its readers see.
  const groups = new Map<string, LinearLayer[]>();
  for (const layer of layers) {
    const source = sourceOf(layer);
    if (source !== undefined) groups.set(source, [...(groups.get(source) ?? []), layer]);
  }
  const changes = new Map<string, Equaliser>();
  for (const [source, group] of groups) {
    const readers: Reader[] = [];
    for (const layer of group) readers.push({ weight: await read(layer), seen: ranges.get(layer.name)! });
    const change = equalise(readers);
    if (change !== undefined) changes.set(source, change);
  }
  return {
    layers: layers.map((layer) => {
      if (layer.name === PATCHES) {
        const [, width] = layer.weight.shape;
        const { shift, factor } = pixels.colours;
        const before = { shift: spread(shift, width), factor: spread(factor, width) };
        return { layer, before, after: undefined, input: pixels };
      }
      const before = changes.get(sourceOf(layer) ?? '');
      const seen = ranges.get(layer.name)!;
      return {
        layer,
        before,
        after: changes.get(blockOfValue(layer.name) ?? ''),
        input: inputScale(
          before === undefined ? seen : equalised(seen, before),
          isMlpOutput(layer.name) ? LEAST_ACTIVATION : undefined,
        ),
      };
    }),
    norms: new Map([...changes].filter(([name]) => /\.ln_[12]$/.test(name))),
  };
}
