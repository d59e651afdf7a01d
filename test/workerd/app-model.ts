import type { ServedModel } from '../../functions/app/service.ts';
import { createTokenizer } from '../../src/clip/tokenizer/tokenizer.ts';
import { parsePreprocess } from '../../src/image/preprocess-config.ts';

const DIM = 8;
const SIDE = 16;

/**
 * A model whose embeddings are sums over all that a tower is given, so that any difference in pixels or ids is one in the
 * scores. The same on Node and in workerd.
 */
export function summingModel(merges: Uint8Array | string): ServedModel {
  const rowsOf = (inputs: readonly ArrayLike<number>[]): Float32Array => {
    const out = new Float32Array(inputs.length * DIM);
    for (const [row, input] of inputs.entries()) {
      const sums = new Float64Array(DIM);
      for (let i = 0; i < input.length; i++) sums[i % DIM] += input[i] * ((i % 13) + 1);
      const norm = Math.sqrt(sums.reduce((total, value) => total + value * value, 0));
      for (let k = 0; k < DIM; k++) out[row * DIM + k] = sums[k] / norm;
    }
    return out;
  };
  return {
    ...{ name: 'summing', slug: 'summing', fingerprint: '0'.repeat(32), heads: [] },
    preprocess: parsePreprocess(undefined, SIDE),
    tokenizer: createTokenizer(merges),
    clip: {
      ...{
        dim: DIM,
        contextLength: 77,
        imageSize: SIDE,
        logitScale: 50,
        precision: 'fp32',
        provider: 'sums',
      },
      embedPictures: async (pictures) => rowsOf(pictures),
      embedTexts: async (ids) => rowsOf(ids),
      release: async () => {},
    },
  };
}
