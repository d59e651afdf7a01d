import { checkHead, HEAD_FORMAT, type Head, type HeadInfo } from '../../../src/safety/heads/head.ts';
import type { Layer } from '../../../src/safety/heads/layers.ts';

/** Numbers in `[-1, 1)` that are the same on every machine. */
export function numbers(count: number, seed: number): Float32Array<ArrayBuffer> {
  let state = seed >>> 0 || 1;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

export function infoOf(dim: number, labels: string[], change: Partial<HeadInfo> = {}): HeadInfo {
  return {
    format: HEAD_FORMAT,
    name: 'test_head',
    title: 'a head for tests',
    space: { name: 'a test model', dim, weights_sha256: ['a'.repeat(64)], models: [] },
    preprocess_fingerprint: null,
    labels,
    columns: labels.map((label) => `safety_${label}`),
    thresholds: { yes: 0.5 },
    licence: 'MIT',
    source: 'made for tests',
    trained_on: 'nothing',
    limits: 'everything',
    ...change,
  };
}

/** A head that uses every kind of layer of a chain: 8 components, one value. */
export function wholeHead(): Head {
  const layers: Layer[] = [
    {
      type: 'encode',
      lookups: [
        { column: 3, keys: Int32Array.of(-250_000, 125_000), values: Int32Array.of(2, 1), otherwise: 0 },
      ],
    },
    { type: 'normalise', mean: numbers(8, 1), scale: numbers(8, 2).map((x) => 1.5 + x), beta: numbers(8, 3) },
    dense(8, 5, 4, 'relu'),
    dense(5, 1, 5, 'sigmoid'),
    { type: 'isotonic', x: Float32Array.of(0.2, 0.5, 0.9), y: Float32Array.of(0, 0.25, 1) },
  ];
  return checkHead({ info: infoOf(8, ['nsfw']), layers }, 'whole.safetensors');
}

export function dense(
  inputs: number,
  outputs: number,
  seed: number,
  activation: 'linear' | 'relu' | 'sigmoid' | 'softmax',
): Layer {
  const weight = numbers(inputs * outputs, seed).map((x) => x / Math.sqrt(inputs));
  return { type: 'dense', inputs, outputs, weight, bias: numbers(outputs, seed + 100), activation };
}
