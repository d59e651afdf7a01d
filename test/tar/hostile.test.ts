/** Whatever the bytes are: a typed error or an end, the same for any split of the stream, and memory by the caps. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ShardError } from '../../src/errors.ts';
import { BLOCK, FIELD } from '../../src/tar/format.ts';
import { fixture, fixtureNames, list, pieces } from './support.ts';

const splits = fc
  .array(fc.integer({ min: 0, max: 3000 }), { minLength: 1, maxLength: 8 })
  .filter((s) => s.some(Boolean));
const anyTar = fc.constantFrom(...fixtureNames()).map(fixture);

/** A change of a tar: bytes written over, a piece cut out, or the end cut off. */
const change = fc.record({
  kind: fc.constantFrom('write', 'cut', 'end', 'repeat'),
  at: fc.nat(24_000),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 16 }),
  isInHeader: fc.boolean(),
  isSummed: fc.boolean(),
});

function changed(
  tar: Uint8Array,
  changes: readonly (typeof change extends fc.Arbitrary<infer T> ? T : never)[],
): Uint8Array {
  let bytes = tar.slice();
  for (const { kind, at, bytes: values, isInHeader, isSummed } of changes) {
    if (bytes.length === 0) break;
    const place = at % bytes.length;
    if (kind === 'cut')
      bytes = new Uint8Array(
        Buffer.concat([bytes.subarray(0, place), bytes.subarray(place + values.length * 64)]),
      );
    else if (kind === 'end') bytes = bytes.slice(0, place);
    else if (kind === 'repeat') bytes = new Uint8Array(Buffer.concat([bytes, bytes.subarray(place)]));
    else {
      // Sizes and types are where the harm is; with the checksum made right the reader goes on to believe them.
      const block = place - (place % BLOCK);
      const target = isInHeader ? block + FIELD.size[0] + (values[0] % 33) : place;
      bytes.set(values.subarray(0, Math.max(0, bytes.length - target)), Math.min(target, bytes.length));
      if (isSummed && block + BLOCK <= bytes.length) sum(bytes.subarray(block, block + BLOCK));
    }
  }
  return bytes;
}

function sum(block: Uint8Array): void {
  block.fill(0x20, FIELD.checksum[0], FIELD.checksum[1]);
  const total = block.reduce((so, byte) => so + byte, 0);
  block.set(Buffer.from(`${total.toString(8).padStart(6, '0')}\0 `), FIELD.checksum[0]);
}

describe('on any bytes', () => {
  test('a tar in any split gives the same entries', async () => {
    await fc.assert(
      fc.asyncProperty(anyTar, splits, async (bytes, sizes) => {
        const whole = await list(pieces(bytes, [1 << 20]));
        const split = await list(pieces(bytes, sizes));
        expect(split.members).toEqual(whole.members);
        expect(String(split.error)).toBe(String(whole.error));
      }),
      { numRuns: 150 },
    );
  });

  test('a changed tar gives entries and then an end or a ShardError, in any split', async () => {
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(
        anyTar,
        fc.array(change, { minLength: 1, maxLength: 4 }),
        splits,
        async (tar, changes, sizes) => {
          const bytes = changed(tar, changes);
          const whole = await list(pieces(bytes, [1 << 20]));
          const split = await list(pieces(bytes, sizes));
          expect(split.members).toEqual(whole.members);
          expect(String(split.error)).toBe(String(whole.error));
          if (whole.error !== undefined) {
            expect(whole.error).toBeInstanceOf(ShardError);
            refused += 1;
          }
        },
      ),
      { numRuns: 600 },
    );
    // The changes are worth something only if they are noticed now and then.
    expect(refused).toBeGreaterThan(50);
  });

  test('random bytes are refused', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 3000 }), splits, async (bytes, sizes) => {
        const { error } = await list(pieces(bytes, sizes));
        if (!bytes.subarray(0, BLOCK).every((byte) => byte === 0)) expect(error).toBeInstanceOf(ShardError);
      }),
      { numRuns: 200 },
    );
  });
});
