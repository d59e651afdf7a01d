import { expect, test } from 'vitest';
import { Tracer } from '../../src/run/trace.ts';
import { watchedItems } from '../../src/score/stages.ts';

function traced() {
  let now = 1000;
  const lines: string[] = [];
  const tracer = new Tracer(
    () => now,
    (json) => lines.push(json),
  );
  return {
    tracer,
    at: (time: number) => {
      now = time;
    },
    spans: () => lines.map((line) => JSON.parse(line)).filter(({ ph }) => ph === 'X'),
  };
}

test('pieces of one stage at the same time have rows of their own, and rows are used again', () => {
  const { tracer, at, spans } = traced();
  const first = tracer.begin('decode', { shard: 'a' });
  at(1001);
  const second = tracer.begin('decode', { shard: 'a' });
  at(1003);
  first();
  at(1004);
  const third = tracer.begin('decode', { shard: 'b' });
  at(1006);
  second();
  third();
  expect(spans().map(({ ts, dur, tid }) => [ts, dur, tid - spans()[0].tid])).toEqual([
    [0, 3000, 0],
    [1000, 5000, 1],
    [4000, 2000, 0],
  ]);
  expect(tracer.seconds.get('decode')).toBeCloseTo(0.01);
});

test('waiting for what does not come is no piece of work', async () => {
  const { tracer, spans } = traced();
  async function* two() {
    yield 1;
    yield 2;
  }
  for await (const _ of watchedItems(two(), tracer, 'read', {}));
  for await (const _ of watchedItems(two(), tracer, 'read', {})) break;
  expect(spans()).toHaveLength(3);
  expect(new Set(spans().map(({ tid }) => tid)).size).toBe(1);
});
