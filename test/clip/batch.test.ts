import { expect, test } from 'vitest';
import { shared } from '../../cli/onnx/embedder.ts';
import { backingOff, measureBatch } from '../../src/clip/batch.ts';
import type { Embedder } from '../../src/clip/embedder.ts';
import { pooled } from '../../src/clip/pool.ts';
import { ModelError } from '../../src/errors.ts';

/** Embeds by the first value; has memory for `room` at once. */
function fake(room: number, calls: number[] = [], perPicture = 0): Embedder & { clock: { now: number } } {
  const clock = { now: 0 };
  const embed = async (items: readonly (Uint8Array | Int32Array)[]): Promise<Float32Array> => {
    calls.push(items.length);
    if (items.length > room) {
      throw new ModelError('onnxruntime failed in a run: Failed to allocate memory for requested buffer');
    }
    clock.now += 10 + perPicture * items.length;
    return Float32Array.from(items.flatMap(([value]) => [value, -value]));
  };
  return {
    ...{ dim: 2, contextLength: 77, imageSize: 4, logitScale: 1, precision: 'fp32', provider: 'fake' },
    ...{ batch: 128, clock },
    embedPictures: embed,
    embedTexts: embed,
    release: async () => {},
  } as Embedder & { clock: { now: number } };
}

const pictures = (n: number) => Array.from({ length: n }, (_, i) => new Uint8Array(48).fill(i));
const expected = (n: number) => Array.from({ length: n }, (_, i) => [i, -i]).flat();

test('where memory runs out, half as many run at once from then on, and nothing is lost', async () => {
  const calls: number[] = [];
  const less: number[] = [];
  const clip = backingOff(fake(5, calls), 16, (size) => less.push(size));
  expect([...(await clip.embedPictures(pictures(21)))]).toEqual(expected(21));
  expect(less).toEqual([8, 4]);
  expect(clip.batch).toBe(4);
  expect(calls).toEqual([16, 8, 4, 4, 4, 4, 4, 1]);
  calls.length = 0;
  expect([...(await clip.embedPictures(pictures(6)))]).toEqual(expected(6));
  expect(calls).toEqual([4, 2]);
});

test('one call fills every lane of the model, also when memory runs out in one of them', async () => {
  let under = 0;
  let most = 0;
  const inner = fake(5);
  const embedPictures = async (pictures: readonly Uint8Array[]): Promise<Float32Array> => {
    most = Math.max(most, ++under);
    await Promise.resolve();
    return inner.embedPictures(pictures).finally(() => under--);
  };
  const clip = backingOff({ ...inner, lanes: 3, embedPictures }, 8, () => {});
  expect([...(await clip.embedPictures(pictures(50)))]).toEqual(expected(50));
  expect(most).toBe(3);
});

test('calls side by side halve once, not once each', async () => {
  const less: number[] = [];
  const clip = backingOff(fake(8), 16, (size) => less.push(size));
  const both = await Promise.all([clip.embedPictures(pictures(16)), clip.embedPictures(pictures(16))]);
  expect(both.map((rows) => [...rows])).toEqual([expected(16), expected(16)]);
  expect(less).toEqual([8]);
});

test('captions are halved too; what is no lack of memory is thrown, and so is no room for one', async () => {
  const ids = Array.from({ length: 9 }, (_, i) => Int32Array.of(i, 99));
  const clip = backingOff(fake(2), 16, () => {});
  expect([...(await clip.embedTexts(ids))]).toEqual(expected(9));
  await expect(backingOff(fake(0), 16, () => {}).embedPictures(pictures(3))).rejects.toThrow(/allocate/);
  const broken = { ...fake(9), embedPictures: () => Promise.reject(new ModelError('no such input')) };
  await expect(backingOff(broken, 16, () => {}).embedPictures(pictures(3))).rejects.toThrow('no such input');
});

test.each([
  ['CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED', true],
  ['CUDNN failure 4: CUDNN_STATUS_ALLOC_FAILED', true],
  ['CUDA failure 2: CUDA_ERROR_OUT_OF_MEMORY', true],
  ['CUDA failure 2: out of memory', true],
  ['E_OUTOFMEMORY', true],
  ['std::bad_alloc', true],
  ['OOM', true],
  ['no room for bedroom.png', false],
  ['no input bloom', false],
])('%s: a lack of memory: %s', async (message, isLack) => {
  const inner = fake(9);
  let calls = 0;
  const embedPictures = (items: readonly Uint8Array[]) =>
    ++calls === 1 ? Promise.reject(new ModelError(message)) : inner.embedPictures(items);
  const embedded = backingOff({ ...inner, embedPictures }, 4, () => {}).embedPictures(pictures(4));
  if (isLack) expect([...(await embedded)]).toEqual(expected(4));
  else await expect(embedded).rejects.toThrow(message);
});

test('auto takes the smallest size that is quickest, within the memory there is', async () => {
  const free = fake(1000, [], 1);
  // 10 ms a call and 1 a picture: more at once is always quicker.
  const { batch, rates } = await measureBatch(free, () => free.clock.now);
  expect(rates.map(({ size }) => size)).toEqual([2, 4, 8, 16, 32, 64, 128]);
  expect(batch).toBe(128);
  // 10 and 100: 4 are too little quicker than 2, 16 than 8.
  const steep = fake(1000, [], 100);
  expect((await measureBatch(steep, () => steep.clock.now)).batch).toBe(8);
  const tight = fake(20, [], 1);
  expect((await measureBatch(tight, () => tight.clock.now)).batch).toBe(16);
});

test('copies of a model share the pieces of a call, whose rows come in its order', async () => {
  const calls: number[][] = [[], []];
  const copies = calls.map((own) => ({ ...fake(1000, own), batch: 4 }));
  const clip = pooled(copies);
  expect(clip.lanes).toBe(2);
  expect([...(await clip.embedPictures(pictures(13)))]).toEqual(expected(13));
  expect(calls.flat().sort()).toEqual([1, 4, 4, 4]);
  expect(Math.min(...calls.map((own) => own.length))).toBeGreaterThan(0);
  const ids = Array.from({ length: 40 }, (_, i) => new Int32Array(1 + ((i * 7) % 30)).fill(i));
  expect([...(await clip.embedTexts(ids))]).toEqual(expected(40));
});

test('copies leave no thread idle', () => {
  expect([1, 2, 3, 8].map((threads) => shared(threads, Math.min(2, threads)))).toEqual([
    [1],
    [1, 1],
    [2, 1],
    [4, 4],
  ]);
});
