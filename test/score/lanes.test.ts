import { expect, it } from 'vitest';
import { inLanes } from '../../src/run/lanes.ts';

it('gives each item to the next lane that is free, in order', async () => {
  const taken: [number, number][] = [];
  let running = 0;
  let most = 0;
  await inLanes([30, 1, 1, 1, 1], 2, async (ms, lane) => {
    taken.push([ms, lane]);
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, ms));
    running--;
  });
  expect(most).toBe(2);
  // One lane holds the long item, the other does the rest.
  expect(taken).toEqual([
    [30, 0],
    [1, 1],
    [1, 1],
    [1, 1],
    [1, 1],
  ]);
});

it('throws the first failure, after it told the others to stop and they did', async () => {
  const ended: string[] = [];
  const run = inLanes(['slow', 'broken', 'never'], 2, async (item, _, signal) => {
    if (item === 'broken') throw new Error('broken');
    const { promise, resolve } = Promise.withResolvers<void>();
    signal.addEventListener('abort', () => resolve());
    await promise;
    ended.push(item);
    throw new Error('stopped');
  });
  await expect(run).rejects.toThrow('broken');
  expect(ended).toEqual(['slow']);
});

it('hands the caller’s signal on', async () => {
  const stop = new AbortController();
  stop.abort();
  await inLanes([1], 1, async (_, __, signal) => expect(signal.aborted).toBe(true), stop.signal);
});
