/** What is done to each tensor when a checkpoint is quantised: decided from weights and ranges, before anything is written. */
import type { LinearLayer } from '../towers/linear.ts';
import type { Ranges } from './calibrate.ts';
import { blockOfOutProjection, normOf } from './layers.ts';
import { type Equaliser, equalise, equalised, type InputScale, inputScale } from './scales.ts';

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
 * Layers that read a norm, or what attention makes of `v`, get their input equalised; the norm, or `v`, absorbs it. What
 * comes out of GELU cannot be moved through it, nor can pixels.
 *
 * `columnMax`: of a layer's weight `[out, in]`, the largest absolute value of each input channel.
 */
export async function planQuantising(
  layers: readonly LinearLayer[],
  ranges: Ranges,
  columnMax: (layer: LinearLayer) => Promise<Float32Array>,
): Promise<QuantisePlan> {
  // The last block's query sees the pooled tokens only: what a norm ranges over is what all of its readers see.
  const readers = new Map<string, LinearLayer[]>();
  for (const layer of layers) {
    const source = normOf(layer.name) ?? blockOfOutProjection(layer.name);
    if (source !== undefined) readers.set(source, [...(readers.get(source) ?? []), layer]);
  }
  const changes = new Map<string, Equaliser>();
  for (const [source, group] of readers) {
    const seen = group.map(({ name }) => ranges.get(name)!);
    const weightMax: Float32Array[] = [];
    for (const layer of group) weightMax.push(await columnMax(layer));
    const range = {
      min: fold(
        seen.map(({ min }) => min),
        Math.min,
      ),
      max: fold(
        seen.map(({ max }) => max),
        Math.max,
      ),
    };
    changes.set(source, equalise(range, fold(weightMax, Math.max)));
  }
  return {
    layers: layers.map((layer) => {
      const before = changes.get(normOf(layer.name) ?? blockOfOutProjection(layer.name) ?? '');
      const range = ranges.get(layer.name)!;
      const value = /^(.+)\.attn\.in_proj\.v$/.exec(layer.name);
      return {
        layer,
        before,
        after: value === null ? undefined : changes.get(value[1]),
        input: inputScale(before === undefined ? range : equalised(range, before)),
      };
    }),
    norms: new Map([...changes].filter(([name]) => /\.ln_[12]$/.test(name))),
  };
}

function fold(rows: readonly Float32Array[], pick: (a: number, b: number) => number): Float32Array {
  return rows.reduce((a, b) => a.map((value, j) => pick(value, b[j])));
}
