import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import { SeenKeys } from '../../src/webdataset/keys.ts';
import { isMetaName, isShardName, shardBaseName, splitMemberName } from '../../src/webdataset/names.ts';

const golden = JSON.parse(
  readFileSync(new URL('../fixtures/webdataset/names.json', import.meta.url), 'utf8'),
) as [string, boolean, string | null, string | null][];

describe("webdataset's rule for names", () => {
  test('key and extension of some 700 odd names', () => {
    expect(golden.length).toBeGreaterThan(600);
    const ours = golden.map(([name]) => [name, splitMemberName(name)]);
    const theirs = golden.map(([name, , key, ext]) => [name, key === null ? undefined : { key, ext }]);
    expect(ours).toEqual(theirs);
  });

  test('names passed over', () => {
    expect(golden.map(([name]) => [name, isMetaName(name)])).toEqual(
      golden.map(([name, skip]) => [name, skip]),
    );
    expect(golden.filter(([, skip]) => skip).length).toBeGreaterThan(5);
  });

  test('a hostile name takes no time', () => {
    const name = `a.\n${'/'.repeat(500_000)}.`;
    expect(splitMemberName(name) === undefined).toBe(true);
    expect(isMetaName(`__${name}`)).toBe(false);
  });
});

describe("a shard's base name", () => {
  test.each([
    ['pool/00012.tar', '00012'],
    ['00012.tar.gz', '00012'],
    ['/a.b/x.y.TGZ', 'x.y'],
    ['C:\\pool\\7.tar', '7'],
    ['noending', 'noending'],
    ['a.tar.tar', 'a.tar'],
  ])('%s → %s', (path, base) => {
    expect(shardBaseName(path)).toBe(base);
  });

  test.each(['.tar', 'pool/.tar.gz', 'pool/', '..', '.hidden.tar', 'a\n.tar', 'x.parquet.tar'])(
    '%j is refused',
    (path) => {
      expect(() => shardBaseName(path)).toThrow(UsageError);
    },
  );

  test('which files are shards', () => {
    const names = ['a.tar', 'a.tar.gz', 'a.tgz', 'A.TAR', '.tar', 'a.tar.tmp', 'a.parquet', 'atar'];
    expect(names.filter(isShardName)).toEqual(['a.tar', 'a.tar.gz', 'a.tgz', 'A.TAR']);
  });
});

test('a million keys are told apart, and seen again', () => {
  const seen = new SeenKeys();
  let fresh = 0;
  for (let i = 0; i < 1_000_000; i += 1) if (seen.add(`${i}`.padStart(9, '0'))) fresh += 1;
  expect(fresh).toBe(1_000_000);
  let again = 0;
  for (let i = 0; i < 1_000_000; i += 97) if (!seen.add(`${i}`.padStart(9, '0'))) again += 1;
  expect(again).toBe(Math.ceil(1_000_000 / 97));
  expect(seen.add('')).toBe(true);
  expect(seen.add('')).toBe(false);
});
