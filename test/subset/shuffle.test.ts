import { describe, expect, it } from 'vitest';
import { PythonRandom, ShuffleBuffer } from '../../src/subset/shuffle.ts';
import { fixture } from '../helpers/fixtures.ts';

const golden = JSON.parse(new TextDecoder().decode(fixture('subset/blur/python.json'))) as {
  draws: { seed: number; below: number; drawn: number[] }[];
  orders: { seed: number; size: number; count: number; order: number[] }[];
};

describe('random numbers', () => {
  it.each(golden.draws)('are Python’s, seed $seed below $below', ({ seed, below, drawn }) => {
    const random = new PythonRandom(seed);
    expect(drawn.map(() => random.below(below))).toEqual(drawn);
  });
});

describe('a shuffle buffer', () => {
  it.each(golden.orders)('of $size, seed $seed, gives webdataset’s order of $count', (golden) => {
    const buffer = new ShuffleBuffer<number>(golden.size, golden.seed);
    const order: number[] = [];
    for (let i = 0; i < golden.count; i++) {
      const out = buffer.push(i);
      if (out !== undefined) order.push(out);
    }
    order.push(...buffer.drain());
    expect(order).toEqual(golden.order);
  });
});
