import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createDecoder } from '../../cli/decode/decoder.ts';
import { wantModels } from '../../cli/jobs/models.ts';
import { CancelledError, ModelError } from '../../src/errors.ts';
import type { ByteSource } from '../../src/io/bytes.ts';
import { memorySource } from '../../src/io/memory.ts';
import { type ScoredBatch, scoreBatches } from '../../src/score/batches.ts';
import { type ScoreShardOptions, scoreShard } from '../../src/score/shard.ts';
import { SeenKeys } from '../../src/webdataset/keys.ts';
import type { ReadPlace } from '../../src/webdataset/samples.ts';

const shard = await readFile(join(import.meta.dirname, '../../demo/shards/demo-00000.tar'));
const [wanted] = await wantModels({ models: ['demo'] });

/** The end of a tar cut off within a member. */
const CUT = 25_000;
const WINDOW = 32;

async function batchesOf(bytes: Uint8Array): Promise<{ batches: ScoredBatch[]; options: ScoreShardOptions }> {
  const options: ScoreShardOptions = {
    shard: 'demo-00000',
    models: [await wanted.load()],
    decoder: createDecoder(),
    fit: 'open_clip',
    pair: { caption: 'txt', uid: 'json', carry: [] },
    embeddings: true,
    window: WINDOW,
  };
  const batches: ScoredBatch[] = [];
  for await (const batch of scoreBatches(memorySource('demo-00000.tar', bytes), options)) batches.push(batch);
  return { batches, options };
}

test('batches come as they are scored, and together they are the shard', async () => {
  const { batches, options } = await batchesOf(shard);
  const whole = await scoreShard(memorySource('demo-00000.tar', shard), { ...options, window: undefined });
  await options.models[0].clip.release();
  expect(batches.map(({ rows }) => rows.length)).toEqual([32, 32, 32, 4]);
  expect(batches.slice(0, -1).every(({ end }) => end === undefined)).toBe(true);
  expect(batches.at(-1)!.end).toEqual({ cut: false, readToEnd: true });
  expect(batches.flatMap(({ rows }) => rows)).toEqual(whole.table.rows);
  for (const part of ['scores', 'image', 'text'] as const) {
    expect(batches.flatMap(({ clips }) => [...clips[0][part]!])).toEqual([...whole.table.clips[0][part]!]);
  }
});

test('a shard scored in pieces, each from where the one before stopped, is the shard scored in one go', async () => {
  const { batches, options } = await batchesOf(shard);
  const seen = new SeenKeys();
  const pieces: ScoredBatch[] = [];
  for (let from: ReadPlace = { offset: 0, globals: {}, seen }; ; ) {
    const source = memorySource('demo-00000.tar', shard.subarray(from.offset), 5000);
    const piece: ScoredBatch[] = [];
    for await (const batch of scoreBatches(source, { ...options, from, limit: 30 })) piece.push(batch);
    for (const { key } of piece.flatMap(({ rows, skipped }) => [...rows, ...skipped])) seen.add(key);
    pieces.push(...piece);
    const next = piece.at(-1)!.end!.next;
    if (next === undefined) break;
    from = { ...next, seen };
  }
  await options.models[0].clip.release();
  expect(pieces.length).toBeGreaterThan(3);
  const together = (all: ScoredBatch[]) => ({
    rows: all.flatMap(({ rows }) => rows),
    skipped: all.flatMap(({ skipped }) => skipped),
    scores: all.flatMap(({ clips }) => [...clips[0].scores]),
    images: all.flatMap(({ clips }) => [...clips[0].image!]),
  });
  expect(together(pieces)).toEqual(together(batches));
});

test('a shard that ends early says so on the last batch, and loses no sample', async () => {
  const { batches, options } = await batchesOf(shard.subarray(0, shard.length - CUT));
  await options.models[0].clip.release();
  const { truncated, readToEnd } = batches.at(-1)!.end!;
  expect(truncated?.problem).toBe('truncated');
  expect(readToEnd).toBe(true);
  const skipped = batches.flatMap((batch) => batch.skipped);
  expect(skipped.map(({ reason }) => reason)).toContain('truncated');
});

test('a failing tower is told at once, though the source has stalled', async () => {
  const stalled: ByteSource = {
    ...memorySource('demo-00000.tar', shard),
    async *stream({ signal } = {}) {
      yield shard.subarray(0, shard.length >> 1);
      await new Promise((_, reject) => signal?.addEventListener('abort', () => reject(new CancelledError())));
    },
  };
  const model = await wanted.load();
  const embedPictures = () => Promise.reject(new ModelError('the tower fell'));
  const options: ScoreShardOptions = {
    shard: 'demo-00000',
    models: [{ ...model, clip: { ...model.clip, embedPictures } }],
    decoder: createDecoder(),
    fit: 'open_clip',
    pair: { caption: 'txt', uid: 'json', carry: [] },
    embeddings: false,
  };
  const run = scoreBatches(stalled, options).next();
  await expect(run).rejects.toThrow('the tower fell');
  await model.clip.release();
});
