import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { SampleError } from '../../src/errors.ts';
import { sniff } from '../../src/image/sniff.ts';
import type { Fit, ImageDecoder } from '../../src/image/types.ts';

const root = new URL('../fixtures/image/', import.meta.url);

export interface Seen {
  width: number;
  height: number;
  sha256: string;
}

export interface Golden extends Partial<Seen> {
  file: string;
  refused?: string;
  visual?: Seen;
  cutsAccepted?: number[];
  cutsRefused?: number[];
}

export interface PreprocessGolden {
  width: number;
  height: number;
  seed: number;
  resize_mode: string;
  interpolation: string;
  size: number | number[];
  fill_color: number;
  sha256?: string;
  refused?: string;
}

function readJson<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(name, root), 'utf8'));
}

export const goldens = readJson<{ pictures: Golden[] }>('decode.json').pictures;
export const preprocessGoldens = readJson<{ cases: PreprocessGolden[] }>('preprocess.json').cases;

export function pictureBytes(file: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`pictures/${file}`, root)));
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Size and hash of the RGB pixels, or the reason of a `SampleError`. Anything else is thrown on. */
export async function look(decoder: ImageDecoder, bytes: Uint8Array, fit?: Fit): Promise<Seen | string> {
  try {
    const { width, height, data } = await decoder.decode(bytes, sniff(bytes), { fit });
    return { width, height, sha256: sha256(data) };
  } catch (error) {
    if (error instanceof SampleError) return error.reason;
    throw error;
  }
}
