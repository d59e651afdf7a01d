import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Budget, inBatches, mapAhead } from '../../src/score/ahead.ts';

async function* numbers(n: number, failAt = Number.POSITIVE_INFINITY) {
  for (let i = 0; i < n; i++) {
    if (i === failAt) throw new Error('source broke');
    yield i;
  }
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const item of items) out.push(item);
  return out;
}

test('results come in the order of the items, with never more calls under way than allowed', async () => {
  let running = 0;
  let most = 0;
  const results = mapAhead(numbers(40), 5, async (i) => {
    running++;
    most = Math.max(most, running);
    await sleep((i * 7) % 5);
    running--;
    return i * 2;
  });
  expect(await collect(results)).toEqual(Array.from({ length: 40 }, (_, i) => i * 2));
  expect(most).toBe(5);
});

test('a failure is thrown at its place, after what came before it, and nothing goes on behind it', async () => {
  const got: number[] = [];
  let running = 0;
  const results = mapAhead(numbers(20), 4, async (i) => {
    running++;
    await sleep(2);
    running--;
    if (i === 6) throw new Error('six');
    return i;
  });
  await expect(
    (async () => {
      for await (const i of results) got.push(i);
    })(),
  ).rejects.toThrow('six');
  expect(got).toEqual([0, 1, 2, 3, 4, 5]);
  expect(running).toBe(0);
});

test('what was read before the source broke is still given', async () => {
  const got: number[] = [];
  await expect(
    (async () => {
      for await (const i of mapAhead(numbers(20, 7), 4, async (i) => i)) got.push(i);
    })(),
  ).rejects.toThrow('source broke');
  expect(got).toEqual([0, 1, 2, 3, 4, 5, 6]);
});

test('batches have the size asked for, the last what is left', async () => {
  expect((await collect(inBatches(numbers(7), 3))).map((batch) => batch.length)).toEqual([3, 3, 1]);
});

test('a budget is never overdrawn, serves in turn, and lets one large request run alone', async () => {
  const budget = new Budget(10);
  let used = 0;
  let most = 0;
  const order: number[] = [];
  const use = (id: number, weight: number) =>
    budget.use(weight, async () => {
      order.push(id);
      used += Math.min(weight, 10);
      most = Math.max(most, used);
      await sleep(1);
      used -= Math.min(weight, 10);
    });
  await Promise.all([use(0, 6), use(1, 6), use(2, 1), use(3, 99), use(4, 4)]);
  expect(most).toBe(10);
  expect(order).toEqual([0, 1, 2, 3, 4]);
});

test('a budget gives back what a failed use had taken', async () => {
  const budget = new Budget(1);
  await expect(
    budget.use(1, async () => {
      throw new Error('inside');
    }),
  ).rejects.toThrow('inside');
  expect(await budget.use(1, async () => 'free')).toBe('free');
});

test('work goes on while the consumer is busy, and never past the bound', async () => {
  let started = 0;
  const results = mapAhead(numbers(20), 3, async (i) => {
    started++;
    return i;
  });
  await results.next();
  await sleep(20);
  // One is taken, three wait.
  expect(started).toBe(4);
  await results.return();
  await sleep(5);
  expect(started).toBe(4);
});
