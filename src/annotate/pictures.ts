/** Columns that are made from the pictures themselves. A picture that is absent or cannot be decoded has nulls. */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { NSFWJS_BATCH, type Nsfwjs } from '../safety/nsfwjs/model.ts';
import { NSFWJS_INPUT, nsfwjsInput } from '../safety/nsfwjs/preprocess.ts';
import { MIN_PDQ_QUALITY, pdq } from '../safety/pdq/hash.ts';
import type { Look, PictureReading } from '../score/judge.ts';
import { fingerprintOf } from './fingerprint.ts';
import { type UnsafeTerm, unsafeJson } from './punsafe.ts';
import type { PictureAnnotator } from './types.ts';

/** The two classes of which a picture is unsafe; `sexy` is, in its authors' words, not pornography. */
export const NSFWJS_UNSAFE: UnsafeTerm = {
  columns: ['nsfw_nsfwjs_porn', 'nsfw_nsfwjs_hentai'],
  unsure: 0.1,
  nsfw: 0.5,
};

export function nsfwjsColumns({ labels }: Pick<Nsfwjs, 'labels'>): string[] {
  return labels.map((label) => `nsfw_nsfwjs_${label}`);
}

/** NSFWJS's five probabilities, `nsfw_nsfwjs_drawing` and its sisters. */
export function nsfwjsAnnotator(model: Nsfwjs, reading: PictureReading): PictureAnnotator {
  const schema = nsfwjsColumns(model).map((name) => ({ name, type: 'float' as const }));
  const fingerprint = fingerprintOf([model.fingerprint, describe(reading)]);
  const classify = async (inputs: readonly Float32Array[]): Promise<Float32Array> => {
    const together = new Float32Array(inputs.length * NSFWJS_INPUT);
    for (const [i, input] of inputs.entries()) together.set(input, i * NSFWJS_INPUT);
    return model.classifyInputs(together, inputs.length);
  };
  return {
    group: 'safety:nsfwjs',
    fingerprint,
    needs: [],
    entry: {
      fingerprint,
      name: 'nsfwjs',
      source: 'npm nsfwjs 4.4.0, MobileNetV2',
      weights_sha256: model.sha256,
      ...describe(reading),
      ...unsafeJson([NSFWJS_UNSAFE]),
    },
    schema,
    pictures: {
      look({ pixels }) {
        if (pixels === undefined) return undefined;
        const input = new Float32Array(NSFWJS_INPUT);
        nsfwjsInput(pixels, input);
        return input;
      },
      async judge(looks) {
        const values = schema.map(() => new Array<number | null>(looks.length).fill(null));
        const there = looks.flatMap((look, row) => (look instanceof Float32Array ? [{ look, row }] : []));
        for (let start = 0; start < there.length; start += NSFWJS_BATCH) {
          const batch = there.slice(start, start + NSFWJS_BATCH);
          const found = await classify(batch.map(({ look }) => look));
          for (const [i, { row }] of batch.entries()) {
            for (const [k, column] of values.entries()) column[row] = found[i * schema.length + k];
          }
        }
        return schema.map(({ name, type }, k) => ({ name, type, values: values[k] }));
      },
    },
    close: () => model.release(),
  };
}

/**
 * What block-lists of pictures are compared with later, without pictures: `member_sha256`, of the picture's bytes in its
 * shard, which are not the ones that were downloaded; `pdq`, 64 hex digits, null where the quality is below
 * `MIN_PDQ_QUALITY` and nothing should be compared; `pdq_quality`.
 */
export function hashesAnnotator(reading: PictureReading): PictureAnnotator {
  const fingerprint = fingerprintOf(['hashes 1', describe(reading)]);
  return {
    group: 'safety:hashes',
    fingerprint,
    needs: [],
    entry: { fingerprint, name: 'hashes', min_quality: MIN_PDQ_QUALITY, ...describe(reading) },
    schema: [
      { name: 'member_sha256', type: 'string' },
      { name: 'pdq', type: 'string' },
      { name: 'pdq_quality', type: 'int' },
    ],
    pictures: {
      look: ({ bytes, pixels }) => ({
        pdq: pixels === undefined ? undefined : pdq(pixels),
        sha256: bytesToHex(sha256(bytes)),
      }),
      async judge(looks) {
        const all = looks.map(hashesOf);
        const clear = all.map((look) =>
          look?.pdq !== undefined && look.pdq.quality >= MIN_PDQ_QUALITY ? look.pdq.hash : null,
        );
        return [
          { name: 'member_sha256', type: 'string', values: all.map((look) => look?.sha256 ?? null) },
          { name: 'pdq', type: 'string', values: clear },
          { name: 'pdq_quality', type: 'int', values: all.map((look) => look?.pdq?.quality ?? null) },
        ];
      },
    },
  };
}

function hashesOf(look: Look | undefined) {
  return look instanceof Float32Array ? undefined : look;
}

function describe({ decoder, fit }: PictureReading): { decoder: string; fit: string } {
  return { decoder: decoder.name, fit };
}
