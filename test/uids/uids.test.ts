import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MetadataError } from '../../src/errors.ts';
import { parseSubset, readSubset, writeSubset } from '../../src/uids/npy.ts';
import { UidSet } from '../../src/uids/uid-set.ts';
import { formatUid, parseUidText, sortUids, UidList, type Uids, wordsOf } from '../../src/uids/uids.ts';
import { fixture } from '../helpers/fixtures.ts';
import { MemoryFolder } from '../helpers/memory-folder.ts';

const uidsOf = (texts: string[]): Uids => {
  const uids: Uids = new BigUint64Array(2 * texts.length);
  for (const [i, text] of texts.entries()) expect(parseUidText(text, wordsOf(uids), i)).toBe(true);
  return uids;
};
const textsOf = (uids: Uids) => Array.from({ length: uids.length / 2 }, (_, i) => formatUid(uids, i));
/** Few different digits, so that uids agree in long runs and repeat. */
const uidText = fc.oneof(
  fc.string({ unit: fc.constantFrom('0', '7', '8', 'f'), minLength: 32, maxLength: 32 }),
  fc.tuple(fc.constantFrom('0', 'f'), fc.constantFrom('0', 'f')).map(([a, b]) => a.repeat(16) + b.repeat(16)),
);

describe('uids', () => {
  it('are two unsigned 64-bit numbers, upper half first', () => {
    const uids = uidsOf(['0123456789abcdefFEDCBA9876543210']);
    expect([...uids]).toEqual([0x0123456789abcdefn, 0xfedcba9876543210n]);
    expect(textsOf(uids)).toEqual(['0123456789abcdeffedcba9876543210']);
  });

  it.each([
    '',
    'f'.repeat(31),
    'f'.repeat(33),
    `${'f'.repeat(31)}g`,
    `${'f'.repeat(31)} `,
    `${'f'.repeat(31)}İ`,
    `-${'f'.repeat(31)}`,
  ])('refuse %j', (text) => {
    expect(parseUidText(text, new Uint32Array(4), 0)).toBe(false);
    expect(new UidSet(new BigUint64Array([0xffffffffffffffffn, 0xffffffffffffffffn])).count(text)).toBe(0);
  });

  it('sort as numbers', () => {
    fc.assert(
      fc.property(fc.array(uidText, { maxLength: 60 }), (texts) => {
        expect(textsOf(sortUids(uidsOf(texts)))).toEqual([...texts].sort());
      }),
      { seed: 1 },
    );
  });

  it('are gathered without limit', () => {
    const texts = Array.from({ length: 5000 }, (_, i) => i.toString(16).padStart(32, 'a'));
    const words = wordsOf(uidsOf(texts));
    const list = new UidList();
    for (let i = 0; i < texts.length; i++) list.push(words, i);
    expect(textsOf(list.take())).toEqual(texts);
    expect(textsOf(sortUids(list.take()))).toEqual([...texts].sort());
  });
});

describe('a set of uids', () => {
  it('knows how often each is in it', () => {
    fc.assert(
      fc.property(
        fc.array(uidText, { maxLength: 40 }),
        fc.array(uidText, { maxLength: 10 }),
        (texts, others) => {
          const set = new UidSet(uidsOf(texts));
          expect(set.size).toBe(texts.length);
          expect(set.distinct).toBe(new Set(texts).size);
          for (const text of [...texts, ...others]) {
            expect(set.count(text)).toBe(texts.filter((other) => other === text).length);
          }
        },
      ),
      { seed: 1 },
    );
  });
});

describe('subset files', () => {
  const multiset = () => parseSubset(fixture('subset/multiset.npy'), 'm');

  it('are written as np.save does: repeats dropped', async () => {
    const folder = new MemoryFolder();
    expect(await writeSubset(folder, 's.npy', multiset())).toEqual({ written: 40, distinct: 40, repeats: 4 });
    expect(folder.files.get('s.npy')).toEqual(fixture('subset/distinct.npy'));
  });

  it('are written as np.save does: repeats kept', async () => {
    const folder = new MemoryFolder();
    const counts = await writeSubset(folder, 's.npy', multiset(), { multiset: true });
    expect(counts).toEqual({ written: 44, distinct: 40, repeats: 4 });
    expect(folder.files.get('s.npy')).toEqual(fixture('subset/multiset.npy'));
  });

  it('are sorted on writing', async () => {
    const folder = new MemoryFolder();
    await writeSubset(folder, 's.npy', parseSubset(fixture('subset/unsorted.npy'), 'u'));
    expect(folder.files.get('s.npy')).toEqual(fixture('subset/distinct.npy'));
  });

  it('are read without a header too, as DataComp’s resharder does', async () => {
    const raw = parseSubset(fixture('subset/raw.bin'), 'raw');
    expect(raw).toEqual(parseSubset(fixture('subset/unsorted.npy'), 'u'));
    const folder = new MemoryFolder('m', { 'raw.bin': fixture('subset/raw.bin') });
    expect(await readSubset(folder, 'raw.bin')).toEqual(raw);
    await expect(readSubset(folder, 'none.npy')).rejects.toThrow(/no such subset file \(file m\/none\.npy\)/);
  });

  it.each([
    ['of another type', () => fixture('subset/wrong.npy'), /<u8 \(40, 2\) instead of one axis of u8,u8/],
    ['cut', () => fixture('subset/distinct.npy').slice(0, -1), /40 uids announced, 639 bytes there/],
    ['too long', () => new Uint8Array([...fixture('subset/distinct.npy'), 0]), /641 bytes there/],
    ['not whole records', () => new Uint8Array(17), /neither a NumPy file nor whole 16-byte records/],
  ])('are refused when %s', (_, bytes, message) => {
    expect(() => parseSubset(bytes(), 'x.npy')).toThrow(MetadataError);
    expect(() => parseSubset(bytes(), 'x.npy')).toThrow(message);
  });

  it('leave nothing behind when writing fails', async () => {
    const folder = new MemoryFolder();
    folder.failAt = 'commit s.npy';
    await expect(writeSubset(folder, 's.npy', multiset())).rejects.toThrow('on demand');
    expect(folder.log).toContain('abort s.npy');
    expect(await folder.list()).toEqual([]);
  });
});
