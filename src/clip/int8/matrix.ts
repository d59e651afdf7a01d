/** One linear layer in 8 bits. */
import { ModelError } from '../../errors.ts';
import type { Equaliser } from './equalise.ts';

export interface QuantisedMatrix {
  /** Signed bytes `[in, out]`: transposed, as the runtime's kernels want them. */
  readonly weight: Int8Array;
  /** Float32 `[out]`: a weight is its byte times its column's scale. */
  readonly scale: Float32Array;
  /** Float32 `[out]`. */
  readonly bias: Float32Array;
  /** Float32 `[out]`: the sum of each column, as quantised. */
  readonly sums: Float32Array;
}

export interface MatrixOptions {
  /** Changes of variables in the layer's input and output. */
  before?: Equaliser;
  after?: Equaliser;
  /** The inputs are the pixels of a patch, `[3, P, P]`. */
  isPatch?: boolean;
}

const LARGEST = 127;

/**
 * Quantises `weight` `[out, in]` with a scale for each output: the largest weight becomes 127. Changes of variables in
 * its input and output are worked in, in float64. An output of zeros only stays one. Throws `ModelError` naming `name`
 * for weights that are no finite numbers.
 */
export function quantiseMatrix(
  name: string,
  weight: Float32Array,
  bias: Float32Array | undefined,
  width: number,
  { before, after, isPatch = false }: MatrixOptions = {},
): QuantisedMatrix {
  const outs = weight.length / width;
  const bytes = new Int8Array(weight.length);
  const scales = new Float32Array(outs);
  const biases = new Float32Array(outs);
  const sums = new Float32Array(outs);
  const row = new Float64Array(width);
  for (let i = 0; i < outs; i++) {
    const divisor = after?.factor[i] ?? 1;
    let offset = bias?.[i] ?? 0;
    let largest = 0;
    for (let j = 0; j < width; j++) {
      const w = weight[i * width + j];
      if (before !== undefined) offset += w * before.shift[j];
      row[j] = (w * (before?.factor[j] ?? 1)) / divisor;
      largest = Math.max(largest, Math.abs(row[j]));
    }
    offset = (offset - (after?.shift[i] ?? 0)) / divisor;
    const scale = Math.fround(largest / LARGEST);
    if (!Number.isFinite(scale) || !Number.isFinite(Math.fround(offset))) {
      throw new ModelError('the checkpoint has weights that are no finite numbers', { tensor: name });
    }
    // Weights too small for a normal scale are nothing beside any bias.
    scales[i] = scale < 1e-37 ? 1 : scale;
    biases[i] = offset;
    let sum = 0;
    for (let j = 0; j < width; j++) {
      const byte = Math.max(-LARGEST, Math.min(LARGEST, Math.round(row[j] / scales[i])));
      if (isPatch) diffuse(row, j, row[j] - byte * scales[i]);
      bytes[j * outs + i] = byte;
      sum += byte;
    }
    sums[i] = sum * scales[i];
  }
  return { weight: bytes, scale: scales, bias: biases, sums };
}

/**
 * Hands what rounding the weight of pixel `j` left over to its neighbours that are still to come, as Floyd and Steinberg
 * dither pictures: neighbouring pixels are nearly alike, so that what one weight lacks another makes up for.
 */
function diffuse(row: Float64Array, j: number, error: number): void {
  const side = Math.round(Math.sqrt(row.length / 3));
  const x = j % side;
  const y = Math.floor(j / side) % side;
  const hand = (right: number, down: number, part: number): void => {
    if (x + right >= 0 && x + right < side && y + down < side) row[j + down * side + right] += error * part;
  };
  if (y === side - 1) hand(1, 0, 1);
  else if (x === side - 1) hand(0, 1, 1);
  else {
    hand(1, 0, 7 / 16);
    hand(-1, 1, 3 / 16);
    hand(0, 1, 5 / 16);
    hand(1, 1, 1 / 16);
  }
}
