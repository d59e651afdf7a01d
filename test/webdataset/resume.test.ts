import { expect, test } from 'vitest';
import { SeenKeys } from '../../src/webdataset/keys.ts';
import { type RawSample, type ReadSamplesOptions, readSamples } from '../../src/webdataset/samples.ts';
import { fixture, fixtureNames, pieces } from '../tar/support.ts';

async function read(bytes: Uint8Array, from?: ReadSamplesOptions['from']) {
  const samples: RawSample[] = [];
  try {
    for await (const sample of readSamples(pieces(bytes, [700, 0, 9000]), { shard: 's', from }))
      samples.push(sample);
    return { samples };
  } catch (error) {
    return { samples, error: String(error) };
  }
}

test.each(fixtureNames())(
  '%s, taken up before any of its samples, goes on as if it had been read in one go',
  async (name) => {
    const bytes = fixture(name);
    const whole = await read(bytes);
    const seen = new SeenKeys();
    for (const [i, { key, place }] of whole.samples.entries()) {
      // As it travels to another process.
      const place2 = JSON.parse(JSON.stringify(place)) as typeof place;
      const kept = SeenKeys.decode(seen.encode());
      const rest = await read(bytes.subarray(place.offset), { ...place2, seen: kept });
      expect(rest).toEqual({ ...whole, samples: whole.samples.slice(i) });
      expect(kept.size).toBe(seen.size);
      seen.add(key);
    }
  },
);

test('keys in few bytes, the same whatever their order', () => {
  const keys = Array.from({ length: 5000 }, (_, i) => `pool/${i}`);
  const [there, back] = [new SeenKeys(), new SeenKeys()];
  for (const key of keys) expect(there.add(key)).toBe(true);
  for (const key of keys.toReversed()) back.add(key);
  expect(there.encode()).toEqual(back.encode());
  expect(there.encode().length).toBe(8 * keys.length);
  const again = SeenKeys.decode(there.encode());
  expect(again.size).toBe(5000);
  expect(keys.some((key) => again.add(key))).toBe(false);
  expect(again.add('another')).toBe(true);
  expect(() => SeenKeys.decode(new Uint8Array(7))).toThrow(RangeError);
});
