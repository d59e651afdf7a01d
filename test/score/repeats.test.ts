import { beforeAll, describe, expect, it } from 'vitest';
import { createDecoder } from '../../cli/decode/decoder.ts';
import { wantModels } from '../../cli/jobs/models.ts';
import type { Embedder } from '../../src/clip/embedder.ts';
import { ModelError } from '../../src/errors.ts';
import type { ImageDecoder } from '../../src/image/types.ts';
import { memorySource } from '../../src/io/memory.ts';
import { Firsts } from '../../src/score/firsts.ts';
import type { Gate } from '../../src/score/gate.ts';
import type { PictureJudge } from '../../src/score/judge.ts';
import {
  type ScoredShard,
  type ScoreModel,
  type ScoreShardOptions,
  scoreShard,
} from '../../src/score/shard.ts';
import { type PoolSample, picture, tarOf } from '../helpers/pool.ts';

let model: ScoreModel;
beforeAll(async () => {
  const [wanted] = await wantModels({ models: ['demo'] });
  model = await wanted.load();
  return () => model.clip.release();
});

/** Counts what reaches the decoder and the towers. */
function counting(options: Partial<ScoreShardOptions> = {}) {
  const work = { decoded: 0, pictures: 0, captions: 0 };
  const { clip } = model;
  const embedder: Embedder = {
    ...clip,
    embedPictures(pictures, signal) {
      work.pictures += pictures.length;
      return clip.embedPictures(pictures, signal);
    },
    embedTexts(ids, signal) {
      work.captions += ids.length;
      return clip.embedTexts(ids, signal);
    },
  };
  const decoder: ImageDecoder = createDecoder();
  const all: ScoreShardOptions = {
    shard: '00000',
    models: [{ ...model, clip: embedder }],
    decoder: {
      ...decoder,
      decode(...args) {
        work.decoded++;
        return decoder.decode(...args);
      },
    },
    fit: 'open_clip',
    pair: { caption: 'txt', uid: 'key', carry: [] },
    embeddings: true,
    ...options,
  };
  return { work, all };
}

async function score(samples: readonly PoolSample[], options?: Partial<ScoreShardOptions>) {
  const { work, all } = counting(options);
  const scored = await scoreShard(memorySource('00000.tar', await tarOf(samples)), all);
  return { scored, work };
}

/** 90 samples of 12 pictures and 9 captions, in no order. */
async function repeatingSamples(): Promise<PoolSample[]> {
  const pictures = await Promise.all(Array.from({ length: 12 }, (_, i) => picture(i)));
  return Array.from({ length: 90 }, (_, i) => ({
    key: String(i).padStart(9, '0'),
    members: { jpg: pictures[(i * 7) % 12], txt: `picture ${'of a fox '.repeat((i * 5) % 9)}` },
  }));
}

const numbers = ({ table }: ScoredShard) => {
  const [{ scores, image, text }] = table.clips;
  return { scores: [...scores], image: [...image!], text: [...text!] };
};

describe('equal pictures and captions of a shard', () => {
  it('are embedded once, and give the numbers that each would have alone', async () => {
    const samples = await repeatingSamples();
    const { scored, work } = await score(samples);
    expect(work).toEqual({ decoded: 12, pictures: 12, captions: 9 });
    expect(scored.counts).toMatchObject({ seen: 90, scored: 90, repeats: { pictures: 78, captions: 81 } });
    const alone: ReturnType<typeof numbers>[] = [];
    for (const sample of samples.slice(0, 20)) alone.push(numbers((await score([sample])).scored));
    for (const part of ['scores', 'image', 'text'] as const) {
      const own = alone.flatMap((one) => one[part]);
      expect(numbers(scored)[part].slice(0, own.length)).toEqual(own);
    }
  });

  it('are looked at by judges each, and their columns stand by their rows', async () => {
    const seen: number[] = [];
    const judge: PictureJudge = {
      look: ({ pixels }) => Float32Array.of(pixels!.data[0]),
      async judge(looks) {
        seen.push(looks.length);
        return [{ name: 'first', type: 'float', values: looks.map((look) => (look as Float32Array)[0]) }];
      },
    };
    const samples = await repeatingSamples();
    const { scored, work } = await score(samples, { judges: [judge] });
    expect(work).toEqual({ decoded: 90, pictures: 12, captions: 9 });
    const values = scored.judged[0].flatMap(([column]) => [...column.values]);
    expect(values).toHaveLength(90);
    expect(values[12]).toBe(values[0]);
    expect(new Set(values).size).toBeGreaterThan(3);
  });

  it('are so for each of several models, whose batches are under way at once', async () => {
    const samples = await repeatingSamples();
    const { all } = counting();
    const slow = (ms: number, slug: string): ScoreModel => ({
      ...all.models[0],
      slug,
      clip: {
        ...all.models[0].clip,
        lanes: 3,
        async embedPictures(pictures) {
          // The first batch takes longest.
          await new Promise((resolve) => setTimeout(resolve, pictures.length * ms));
          return model.clip.embedPictures(pictures);
        },
      },
    });
    const { scored } = await score(samples, { models: [slow(20, 'a'), slow(1, 'b')] });
    const once = numbers((await score(samples)).scored);
    expect(numbers(scored)).toEqual(once);
    expect([...scored.table.clips[1].scores]).toEqual(once.scores);
    expect(scored.counts.repeats).toEqual({ pictures: 78, captions: 81 });
  });

  it('fail with the towers: nobody waits for what was never made', async () => {
    const samples = await repeatingSamples();
    const { all } = counting();
    const failing: ScoreModel = {
      ...all.models[0],
      clip: {
        ...all.models[0].clip,
        lanes: 3,
        async embedPictures() {
          await new Promise((resolve) => setTimeout(resolve, 50));
          throw new ModelError('the tower fell');
        },
      },
    };
    await expect(score(samples, { models: [failing, { ...failing, slug: 'b' }] })).rejects.toThrow(
      'the tower fell',
    );
  });

  it('that cannot be decoded are skipped each', async () => {
    const jpg = (await picture(1)).subarray(0, 300);
    const samples = ['a', 'b', 'c'].map((key) => ({ key, members: { jpg, txt: 'a fox' } }));
    const { scored } = await score(samples);
    expect(scored.counts).toMatchObject({ seen: 3, scored: 0, skipped: { undecodable_image: 3 } });
  });

  it('are taken from a later one where the first was dropped before it was decoded', async () => {
    const jpg = await picture(1);
    const samples = ['a', 'b', 'c'].map((key) => ({ key, members: { jpg, txt: `fox ${key}` } }));
    const gate: Gate = {
      open: () => ({
        meet: ({ key }) => ({
          // Known late: the others are under way by then.
          dropped: new Promise((resolve) => {
            setTimeout(
              () => resolve(key === 'a' ? { filter: 'caption', detail: 'caption is fox a' } : undefined),
              20,
            );
          }),
          settle: () => {},
        }),
      }),
    };
    const { scored, work } = await score(samples, { gate });
    expect(work).toMatchObject({ decoded: 1, pictures: 1 });
    expect(scored.counts).toMatchObject({ seen: 3, scored: 2, skipped: {}, filtered: { caption: 1 } });
    expect(scored.table.rows.map(({ key }) => key)).toEqual(['b', 'c']);
    expect(scored.skipped).toEqual([
      {
        key: 'a',
        uid: expect.any(String),
        reason: 'filtered',
        filter: 'caption',
        detail: 'caption is fox a',
      },
    ]);
    const { image } = numbers(scored);
    expect(image.slice(0, image.length / 2)).toEqual(image.slice(image.length / 2));
  });
});

describe('which of equal things came first', () => {
  it('is known once those before have come through or not', async () => {
    const firsts = new Firsts();
    const [a, b, c] = [firsts.meet('x')!, firsts.meet('x')!, firsts.meet('x')!];
    expect(a.before).toBe(false);
    a.settle(false);
    expect(await b.before).toBe(false);
    b.settle(true);
    expect(await c.before).toBe(true);
    c.settle(false);
    expect(await firsts.meet('x')!.before).toBe(true);
  });

  it('is no longer asked of new things when memory is full', () => {
    const firsts = new Firsts(1);
    firsts.meet('x');
    expect(firsts.meet('y')).toBeUndefined();
    expect(firsts.meet('x')).toBeDefined();
  });
});
