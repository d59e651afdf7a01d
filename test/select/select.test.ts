import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { MetadataError, UsageError } from '../../src/errors.ts';
import type { Folder } from '../../src/io/bytes.ts';
import { addColumns, commitShard } from '../../src/metadata/commit.ts';
import { prepareFolder } from '../../src/metadata/folder.ts';
import { parseFilters } from '../../src/select/parse.ts';
import { fractionThreshold } from '../../src/select/scores.ts';
import { selectSubset as selectRows } from '../../src/select/select.ts';
import { writeSubset } from '../../src/uids/npy.ts';
import { formatUid, type Uids } from '../../src/uids/uids.ts';
import { fixtureFolder, fixtureJson, fixtureLines } from '../helpers/fixtures.ts';
import { MemoryFolder } from '../helpers/memory-folder.ts';
import { makeClip, makeOutput, makeUid } from '../helpers/tables.ts';

interface SelectOptions {
  column?: string;
  threshold?: number;
  fraction?: number;
  onIncomplete?: 'error' | 'skip';
}

/** Selects by one score; what that filter found beside what was kept. */
async function selectSubset(folders: readonly Folder[], { onIncomplete, ...score }: SelectOptions) {
  const { steps, ...selection } = await selectRows(folders, {
    onIncomplete,
    filters: parseFilters([{ score }]),
  });
  const [{ found, unjudged }] = steps;
  return { ...selection, ...found[0], nan: unjudged };
}

interface Golden {
  threshold?: number;
  fraction?: number;
  rows: number;
  sha256: string;
}

async function npySha256(uids: Uids): Promise<string> {
  const out = new MemoryFolder();
  // DataComp never drops repeats.
  await writeSubset(out, 's.npy', uids, { multiset: true });
  return createHash('sha256').update(out.files.get('s.npy')!).digest('hex');
}

describe('the same file as DataComp’s clip_score baseline', () => {
  const b32 = fixtureLines<Golden>('subset/datacomp-b32.jsonl').map((golden) => ({
    folder: 'pool',
    slug: 'b32',
    ...golden,
  }));
  const l14 = fixtureLines<Golden>('subset/datacomp-l14.jsonl').map((golden) => ({
    folder: 'pool',
    slug: 'l14',
    ...golden,
  }));
  const mixed = fixtureLines<Golden>('subset/datacomp-mixed.jsonl').map((golden) => ({
    folder: 'mixed',
    slug: 'b32',
    ...golden,
  }));

  it.each([...b32, ...l14, ...mixed])(
    '$folder $slug threshold $threshold fraction $fraction',
    async ({ folder, slug, threshold, fraction, rows, sha256 }) => {
      const selection = await selectSubset([fixtureFolder(`metadata/${folder}`)], {
        column: `clip_${slug}_similarity_score`,
        threshold,
        fraction,
      });
      expect(selection.keptRows).toBe(rows);
      expect(await npySha256(selection.uids)).toBe(sha256);
    },
  );
});

describe('what is selected', () => {
  const pool = () => fixtureFolder('metadata/pool');

  it('is counted: rows, uids and repeats', async () => {
    const all = await selectSubset([pool()], { column: 'b32', fraction: 1 });
    expect(all).toMatchObject({
      total: 210,
      keptRows: 210,
      keptUids: 207,
      repeats: 3,
      nan: 0,
      threshold: -Infinity,
    });
    expect(all.notes).toHaveLength(1);
  });

  it('leaves out NaN and null, and counts them', async () => {
    const odd = fixtureFolder('metadata/odd');
    const holes = new MemoryFolder('h', { 'a.parquet': odd.files.get('holes.parquet')! });
    expect(await selectSubset([holes], { threshold: -1 })).toMatchObject({ total: 12, nan: 2, keptRows: 10 });
    expect(await selectSubset([holes], { fraction: 1 })).toMatchObject({ nan: 2, keptRows: 10 });
    // int(12 · 0.95) = 11 falls on a NaN: every number stays.
    expect(await selectSubset([holes], { fraction: 0.95 })).toMatchObject({ nan: 2, keptRows: 10 });
  });

  it('says when files disagree on the type', async () => {
    const mixed = await selectSubset([fixtureFolder('metadata/mixed')], { column: 'b32', threshold: 0.24 });
    expect(mixed.notes.join()).toMatch(/float32 in some files and float64 in others.*own type/);
  });

  const { uid, score } = fixtureJson<{ uid: string[]; score: number[] }>('metadata/odd.json');
  const expected = uid.filter((_, i) => score[i] >= Math.fround(0.26)).sort();

  it.each(['none', 'snappy', 'gzip', 'zstd', 'groups', 'pages-v2', 'uid-bytes', 'uid-raw', 'uid-dictionary'])(
    'does not depend on how the parquet was written: %s',
    async (name) => {
      const file = fixtureFolder('metadata/odd').files.get(`${name}.parquet`)!;
      for (const options of [{ threshold: 0.26 }, { fraction: (expected.length - 1) / 12 }]) {
        const { uids } = await selectSubset([new MemoryFolder('o', { 'a.parquet': file })], options);
        expect(Array.from({ length: uids.length / 2 }, (_, i) => formatUid(uids, i))).toEqual(expected);
      }
    },
  );
});

describe('refusals', () => {
  const pool = () => fixtureFolder('metadata/pool');
  const one = (name: string) =>
    new MemoryFolder('o', { [name]: fixtureFolder('metadata/odd').files.get(name)! });

  it.each<[SelectOptions, RegExp]>([
    [{}, /either threshold or fraction/],
    [{ threshold: 0.1, fraction: 0.1 }, /either threshold or fraction/],
    [{ fraction: 0 }, /above 0 and at most 1, not 0/],
    [{ fraction: 1.01 }, /not 1.01/],
    [{ fraction: Number.NaN }, /not NaN/],
    [{ threshold: Number.NaN }, /not a number/],
    [{ threshold: 1 }, /more than one score.*clip_b32_similarity_score, clip_l14_similarity_score/],
    [{ threshold: 1, column: 'clip_b23_similarity_score' }, /Did you mean clip_b32_similarity_score\?/],
    [{ threshold: 1, column: 'zzz' }, /no column zzz.*There is clip_b32/],
  ])('%j', async (options, message) => {
    const error = await selectSubset([pool()], options).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UsageError);
    expect((error as Error).message).toMatch(message);
  });

  it('name file and row of a malformed uid', async () => {
    await expect(selectSubset([one('bad-uid.parquet')], { threshold: 0 })).rejects.toThrow(
      /row 7 has uid "not-a-uid", which is not 32 hex digits \(file o\/bad-uid\.parquet, column uid\)/,
    );
  });

  it('name a column that is no score, and a folder without metadata', async () => {
    await expect(selectSubset([one('int-score.parquet')], { threshold: 0 })).rejects.toThrow(
      /INT64, not a score/,
    );
    await expect(selectSubset([new MemoryFolder('empty')], { threshold: 0 })).rejects.toThrow(
      /no metadata here.*empty/,
    );
  });

  it('name the files that lack the column', async () => {
    const folder = pool();
    folder.files.set('extra.parquet', one('none.parquet').files.get('none.parquet')!);
    await expect(selectSubset([folder], { column: 'l14', threshold: 0 })).rejects.toThrow(
      /1 of 3 files have no column.*extra/,
    );
  });
});

describe('Shardsieve’s own folders', () => {
  const run = { shardsieve: '0.1.0', rows: { fingerprint: 'r' }, models: { b32: { fingerprint: 'x' } } };
  const make = async () => {
    const folder = new MemoryFolder('own');
    await prepareFolder(folder, run);
    for (const shard of ['0', '1']) await commitShard(folder, shard, makeOutput(5, ['b32']));
    return folder;
  };

  it('take the only score, and have nothing unknown', async () => {
    expect(await selectSubset([await make()], { threshold: 0.15 })).toMatchObject({
      column: 'clip_b32_similarity_score',
      keptRows: 6,
      keptUids: 3,
      notes: [],
    });
  });

  it.each(['1_stats.json', '1.parquet'])(
    'are refused while %s is missing, unless told otherwise',
    async (missing) => {
      const folder = await make();
      folder.files.delete(missing);
      await expect(selectSubset([folder], { threshold: 0.15 })).rejects.toThrow(
        /own holds 1 not fully written/,
      );
      const rest = await selectSubset([folder], { threshold: 0.15, onIncomplete: 'skip' });
      expect(rest).toMatchObject({ total: 5, keptRows: 3 });
      expect(rest.notes.join()).toMatch(/left out 1/);
    },
  );

  it('are refused where a column was only half added', async () => {
    const folder = await make();
    const uids = Array.from({ length: 5 }, (_, i) => makeUid(i));
    const added = { uids, clips: [makeClip('l14', 5)], stats: { groups: { 'clip:l14': 'y' } } };
    await addColumns(folder, '0', added);
    folder.failAt = 'commit 1_stats.json';
    await expect(addColumns(folder, '1', added)).rejects.toThrow('on demand');
    await expect(selectSubset([folder], { column: 'l14', threshold: 0 })).rejects.toThrow(MetadataError);
    expect((await selectSubset([folder], { column: 'b32', threshold: 0 })).keptRows).toBe(10);
  });
});

describe('the threshold of a fraction', () => {
  const scores = Float32Array.of(0.5, 0.1, 0.9, 0.5, 0.3);
  it.each([
    [0.01, 0.9],
    [0.2, 0.5],
    [0.4, 0.5],
    [0.6, 0.3],
    [0.99, 0.1],
    [1, -Infinity],
  ])('%f is the score at place int(n · f), %f', (fraction, threshold) => {
    expect(fractionThreshold([scores.subarray(0, 2), scores.subarray(2)], fraction)).toBe(
      Math.fround(threshold),
    );
  });
});
