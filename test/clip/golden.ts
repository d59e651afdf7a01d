/** Goldens of tools/oracle/clip_goldens.py, and the pictures they were made with. */
import { readFile } from 'node:fs/promises';

export interface Golden {
  pictures: number;
  ids: number[][];
  logit_scale: number;
  image_unit: number[][];
  text_unit: number[][];
  cosines: number[][];
  /** Of the demo model, which may be trained again. */
  weights_sha256?: string;
}

export async function readGolden(path: URL | string): Promise<Golden> {
  return JSON.parse(await readFile(path, 'utf8')) as Golden;
}

/** The script's `pixels`: float32 [n, 3, side, side] by formula. */
export function goldenPixels(n: number, side: number): Float32Array {
  const stride = 3 * side * side;
  const out = new Float32Array(n * stride);
  for (let i = 0; i < out.length; i++) {
    const value = i * 7919 + Math.floor(i / stride) * 104729 + Math.floor(i / side) * 31;
    out[i] = ((value % 65521) / 65521) * 4 - 2;
  }
  return out;
}

/** Largest absolute difference of rows `[n, dim]` to a golden. */
export function largestDifference(rows: Float32Array, golden: number[][]): number {
  const flat = golden.flat();
  if (flat.length !== rows.length) return Number.POSITIVE_INFINITY;
  return flat.reduce((worst, value, k) => Math.max(worst, Math.abs(value - rows[k])), 0);
}
