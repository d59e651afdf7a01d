import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { subsetInfo, subsetOverlap } from '../../src/subset/info.ts';
import { openSubset } from '../../src/subset/open.ts';
import { combineSubsets, SET_OPERATIONS, type SetOperation } from '../../src/subset/sets.ts';
import { parseSubset, writeSubset } from '../../src/uids/npy.ts';
import { parseUidText, type Uids, wordsOf } from '../../src/uids/uids.ts';
import { cli } from '../helpers/cli.ts';
import { fixture } from '../helpers/fixtures.ts';
import { MemoryFolder } from '../helpers/memory-folder.ts';
import { onDisk, oracle, PYTHON } from '../helpers/python.ts';
import { filesOf, scratch } from '../helpers/tmp.ts';

const uidsOf = (numbers: readonly number[]): Uids => {
  const uids: Uids = new BigUint64Array(2 * numbers.length);
  // Uids that differ in the first word only, in the last only, and in both.
  const text = (n: number) => `${(n % 3).toString(16)}${'0'.repeat(15)}${n.toString(16).padStart(16, '0')}`;
  for (const [i, n] of numbers.entries()) parseUidText(text(n), wordsOf(uids), i);
  return uids;
};
const raw = (numbers: readonly number[]) => new Uint8Array(uidsOf(numbers).buffer);

function expected(operation: SetOperation, lists: number[][], multiset: boolean): number[] {
  const result: number[] = [];
  for (const n of new Set(lists.flat())) {
    const counts = lists.map((list) => list.filter((other) => other === n).length);
    const [first, ...rest] = counts;
    const sum = counts.reduce((a, b) => a + b, 0);
    const copies = {
      union: multiset ? Math.max(...counts) : 1,
      sum,
      intersect: multiset ? Math.min(...counts) : counts.every((c) => c > 0) ? 1 : 0,
      minus: multiset ? Math.max(0, 2 * first - sum) : first > 0 && rest.every((c) => c === 0) ? 1 : 0,
    }[operation];
    for (let copy = 0; copy < copies; copy++) result.push(n);
  }
  return result;
}

describe('set operations', () => {
  it('give what counting gives, for sorted and unsorted files, as sets and as multisets', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 20 }), {
          minLength: 1,
          maxLength: 4,
        }),
        fc.constantFrom(...SET_OPERATIONS),
        fc.boolean(),
        async (lists, operation, multiset) => {
          const names = lists.map((_, i) => `${i}.npy`);
          const folder = new MemoryFolder('m', Object.fromEntries(names.map((n, i) => [n, raw(lists[i])])));
          const files = await Promise.all(names.map((name) => openSubset(folder, name)));
          const counts = await combineSubsets(operation, files, folder, 'out.npy', { multiset });
          const wanted = expected(operation, lists, multiset);
          const direct = new MemoryFolder();
          await writeSubset(direct, 'out.npy', uidsOf(wanted), { multiset: true });
          expect(folder.files.get('out.npy')).toEqual(direct.files.get('out.npy'));
          expect(counts).toEqual({ written: wanted.length, distinct: new Set(wanted).size });
        },
      ),
      { seed: 1 },
    );
  });

  it('hold for files longer than what is read at a time, runs over the edge included', async () => {
    const many = Array.from({ length: 600_000 }, (_, i) => 3 * Math.floor(i / 2));
    const folder = new MemoryFolder('m', { a: raw(many), b: raw([...many.slice(200_001), 3 * 900_000]) });
    const files = [await openSubset(folder, 'a'), await openSubset(folder, 'b')];
    const counts = async (operation: SetOperation, multiset: boolean) =>
      (await combineSubsets(operation, files, folder, 'out', { multiset })).written;
    expect(await counts('union', true)).toBe(600_001);
    expect(await counts('sum', false)).toBe(600_000 + 400_000);
    expect(await counts('intersect', true)).toBe(399_999);
    expect(await counts('minus', true)).toBe(200_001);
    expect(await counts('minus', false)).toBe(100_000);
    expect(parseSubset(folder.files.get('out')!, 'out').length).toBe(200_000);
  });

  it('leave nothing behind when writing fails', async () => {
    const folder = new MemoryFolder('m', { a: raw([1, 2]) });
    folder.failAt = 'commit out';
    await expect(combineSubsets('union', [await openSubset(folder, 'a')], folder, 'out')).rejects.toThrow();
    expect(folder.log).toContain('abort out');
  });
});

describe('what a subset holds', () => {
  it('is counted, in the order of the file', async () => {
    const folder = new MemoryFolder('m', { a: raw([7, 3, 3, 4]), b: raw([3, 4, 5]), none: raw([]) });
    const [a, b, none] = await Promise.all(['a', 'b', 'none'].map((name) => openSubset(folder, name)));
    expect(await subsetInfo(a)).toEqual({
      ...{ entries: 4, distinct: 3, repeats: 1, sorted: false },
      first: `1${'0'.repeat(30)}7`,
      last: `1${'0'.repeat(30)}4`,
    });
    expect(await subsetInfo(none)).toEqual({ entries: 0, distinct: 0, repeats: 0, sorted: true });
    expect(await subsetOverlap(a, b)).toEqual({
      ...{ both: 2, either: 4, jaccard: 0.5 },
      ...{ of_first: 2 / 3, of_second: 2 / 3 },
    });
    expect(await subsetOverlap(none, none)).toMatchObject({ jaccard: 1, of_first: 0 });
  });
});

describe('shardsieve subset', async () => {
  const folder = await scratch();
  const at = (name: string) => join(folder, name);
  const json = async (...args: string[]) => {
    const { stdout, code } = await cli(['subset', ...args, '--json'], { cwd: folder });
    return { code, ...(JSON.parse(stdout) as { [field: string]: unknown }) };
  };

  it('combines npy and raw files, and describes them', async () => {
    await writeFile(at('multi.npy'), fixture('subset/multiset.npy'));
    await writeFile(at('raw.bin'), fixture('subset/raw.bin'));
    await writeFile(at('distinct.npy'), fixture('subset/distinct.npy'));
    expect(await json('union', 'multi.npy', 'raw.bin', '--out', 'u.npy')).toMatchObject({
      ...{ code: 0, operation: 'union', written: 40, distinct: 40 },
      inputs: [
        { file: 'multi.npy', entries: 44 },
        { file: 'raw.bin', entries: expect.any(Number) },
      ],
    });
    expect(await readFile(at('u.npy'))).toEqual(await readFile(at('distinct.npy')));
    // A result may replace what it was made from.
    await json('intersect', 'u.npy', 'multi.npy', '--multiset', '--out', 'u.npy');
    expect(await readFile(at('u.npy'))).toEqual(await readFile(at('distinct.npy')));
    const info = await json('info', 'multi.npy', 'u.npy');
    expect(info).toMatchObject({
      subsets: [
        {
          ...{ entries: 44, distinct: 40, repeats: 4, sorted: true },
          sha256: createHash('sha256').update(fixture('subset/multiset.npy')).digest('hex'),
        },
        { entries: 40 },
      ],
      overlaps: [{ both: 40, either: 40, jaccard: 1 }],
    });
    const { stdout } = await cli(['subset', 'info', at('multi.npy'), at('u.npy')]);
    expect(stdout).toContain('44 entries, 40 different, 4 repeats, sorted');
    expect(stdout).toContain('(Jaccard 1.0000)');
    expect([...(await filesOf(folder)).keys()]).toEqual(['distinct.npy', 'multi.npy', 'raw.bin', 'u.npy']);
  });

  it.each([
    [['union', 'none.npy', '--out', 'x.npy'], 1, 'none.npy'],
    [['union', '--out', 'x.npy'], 2, 'missing required argument'],
    [['union', 'a.npy'], 2, '--out'],
    [['differ', 'a.npy'], 2, 'unknown command'],
  ])('%j ends with %i', async (args, code, text) => {
    const result = await cli(['subset', ...args], { cwd: folder });
    expect(result.code).toBe(code);
    expect(result.stderr).toContain(text);
  });
});

describe.skipIf(PYTHON === undefined)('NumPy and Counter (SHARDSIEVE_PYTHON names none)', () => {
  it('give the same bytes', async () => {
    const draw = (seed: number, n: number) =>
      Array.from({ length: n }, (_, i) => (i * i * 31 + i * seed + seed) % 700);
    const folder = new MemoryFolder('m', {
      a: raw(draw(3, 900)),
      b: raw(draw(5, 700)),
      c: raw(draw(11, 90)),
    });
    const files = await Promise.all(['a', 'b', 'c'].map((name) => openSubset(folder, name)));
    for (const operation of SET_OPERATIONS) {
      for (const multiset of [false, true]) {
        const name = `${operation}-${multiset ? 'multiset' : 'set'}.npy`;
        await combineSubsets(operation, files, folder, name, { multiset });
      }
    }
    const said = await onDisk(folder, (path) => oracle(PYTHON!, 'subset_sets.py', path));
    expect(JSON.parse(said)).toEqual({ compared: 8, differing: [] });
  });
});
