import { zipSync } from 'fflate';
import { beforeAll, describe, expect, it } from 'vitest';
import { type CheckOptions, checkFolders } from '../../src/metadata/check.ts';
import { checkEmbeddings, checkScores } from '../../src/metadata/check-values.ts';
import { commitShard } from '../../src/metadata/commit.ts';
import { Findings, formatFinding } from '../../src/metadata/findings.ts';
import { prepareFolder } from '../../src/metadata/folder.ts';
import { npyHeader } from '../../src/metadata/npy.ts';
import { encodeOutcome, partFile, unfinishedFile } from '../../src/metadata/outcome.ts';
import { encodeParquet } from '../../src/metadata/parquet-write.ts';
import type { RunRecord } from '../../src/metadata/run.ts';
import type { ClipColumns } from '../../src/metadata/table.ts';
import { checkUids } from '../../src/select/check-uids.ts';
import { MemoryFolder } from '../helpers/memory-folder.ts';
import { makeOutput, makeUid } from '../helpers/tables.ts';

const run = (slugs: string[], fingerprint = 'fp-clip:'): RunRecord => ({
  shardsieve: '0.1.0',
  rows: { fingerprint: 'fp-rows' },
  models: Object.fromEntries(
    slugs.map((slug) => [slug, { fingerprint: `${fingerprint}${slug}`, name: `${fingerprint}${slug}` }]),
  ),
});

/** Unit embeddings and the scores that they give. */
function unitClip(slug: string, rows: number, dim = 8): ClipColumns {
  const unit = (seed: number) => {
    const values = Float32Array.from({ length: rows * dim }, (_, i) => Math.sin(seed + i * i));
    for (let row = 0; row < rows; row++) {
      const part = values.subarray(row * dim, (row + 1) * dim);
      const length = Math.hypot(...part);
      for (let i = 0; i < dim; i++) part[i] /= length;
    }
    return values;
  };
  const [image, text] = [unit(1), unit(2)];
  const scores = Float32Array.from({ length: rows }, (_, row) => {
    let dot = 0;
    for (let i = row * dim; i < (row + 1) * dim; i++) dot += image[i] * text[i];
    return dot;
  });
  return { slug, dim, scores, image, text };
}

function output(shard: string, rows: number, slugs: string[], prefix = 'fp-') {
  const made = makeOutput(rows, slugs);
  made.table.clips = slugs.map((slug) => unitClip(slug, rows));
  made.stats.input = { name: `pool/${shard}.tar`, size: 1, mtimeMs: 1 };
  for (const slug of slugs) made.stats.groups[`clip:${slug}`] = `${prefix}clip:${slug}`;
  for (const [i, row] of made.table.rows.entries()) row.uid = makeUid(Number(shard) * 100 + i);
  return made;
}

async function whole(label = 'metadata', shards = ['0', '1'], slugs = ['b32'], prefix = 'fp-') {
  const folder = new MemoryFolder(label);
  await prepareFolder(folder, run(slugs, `${prefix}clip:`));
  for (const shard of shards) await commitShard(folder, shard, output(shard, 6, slugs, prefix));
  return folder;
}

const codes = async (folders: MemoryFolder[], options?: CheckOptions) =>
  (await checkFolders(folders, options)).findings.map(({ level, code }) => `${level} ${code}`);

const text = (value: object) => new TextEncoder().encode(JSON.stringify(value));
const json = (folder: MemoryFolder, name: string) => JSON.parse(folder.text(name)) as { [f: string]: object };

/** Files of a shard that has three rows instead of six. */
const shorter = new MemoryFolder('shorter');
beforeAll(async () => {
  await prepareFolder(shorter, run(['b32']));
  await commitShard(shorter, '1', output('1', 3, ['b32']));
});
const swap = (folder: MemoryFolder, name: string) => folder.files.set(name, shorter.files.get(name)!);

describe('a metadata folder that is whole', () => {
  it('has no findings, alone and beside another', async () => {
    expect(await codes([await whole()])).toEqual([]);
    expect(await codes([await whole('a', ['0']), await whole('b', ['1'])])).toEqual([]);
  });
});

describe('a folder', () => {
  it.each<[string, (folder: MemoryFolder) => void, string[]]>([
    ['half written', (f) => f.files.delete('1_stats.json'), ['problem half_written']],
    ['whose parquet is gone', (f) => f.files.delete('1.parquet'), ['problem half_written']],
    [
      'of which an npz alone is left',
      (f) => ['1.parquet', '1_stats.json', '1_skipped.jsonl'].forEach((name) => void f.files.delete(name)),
      ['problem half_written'],
    ],
    ['with a cut parquet', (f) => f.files.set('1.parquet', new Uint8Array(20)), ['problem damaged']],
    ['with damaged stats', (f) => f.files.set('1_stats.json', text({ seen: 1 })), ['problem damaged']],
    ['with a damaged run.json', (f) => f.files.set('run.json', text({})), ['problem damaged']],
    [
      'with the parquet of another shard',
      (f) => swap(f, '1.parquet'),
      ['problem rows_differ', 'problem npz_rows'],
    ],
    ['with the npz of another shard', (f) => swap(f, '1.npz'), ['problem npz_rows']],
    ['without an npz', (f) => f.files.delete('1.npz'), ['problem npz_missing']],
    ['with fewer skipped lines', (f) => f.files.set('1_skipped.jsonl', text({})), ['problem skipped_lines']],
    ['with other lies about it', (f) => f.files.set('notes.txt', text({})), ['note stray_file']],
    [
      'whose counts do not add up',
      (f) => f.files.set('1_stats.json', text({ ...json(f, '1_stats.json'), seen: 9 })),
      ['problem accounting', 'problem skipped_lines'],
    ],
    [
      'scored in part by another model',
      (f) =>
        f.files.set(
          '1_stats.json',
          text({ ...json(f, '1_stats.json'), groups: { rows: 'fp-rows', 'clip:b32': 'other' } }),
        ),
      ['problem fingerprint'],
    ],
    [
      'that a pilot made',
      (f) => f.files.set('1_stats.json', text({ ...json(f, '1_stats.json'), pilot: 'limit 3' })),
      ['incomplete pilot'],
    ],
    [
      'that is not finished',
      (f) =>
        f.files.set(
          unfinishedFile(),
          encodeOutcome({ pending: ['2'], failed: [{ shard: '3', problem: 'corrupt', message: '' }] }),
        ),
      ['incomplete not_scored', 'incomplete failed_shards'],
    ],
    [
      'that is a part',
      (f) =>
        f.files.set(
          partFile({ index: 1, count: 3 }),
          encodeOutcome({ index: 1, count: 3, shards: 2, pool: 6, list: 'l' }),
        ),
      ['incomplete missing_parts'],
    ],
  ])('%s is told', async (_, damage, expected) => {
    const folder = await whole();
    damage(folder);
    expect(await codes([folder])).toEqual(expected);
  });

  it('of which some shards lack a model is told', async () => {
    const folder = await whole('metadata', ['0'], ['b32', 'l14']);
    await commitShard(folder, '1', output('1', 6, ['b32']));
    expect(await codes([folder])).toEqual(['incomplete missing_columns']);
  });

  it('names files, column and what to do', async () => {
    const folder = await whole();
    folder.files.delete('1.npz');
    const { findings } = await checkFolders([folder]);
    expect(findings.map((finding) => formatFinding(finding))).toEqual([
      'metadata: no npz of embeddings: 1.npz (has to hold b32). Remove the shard’s _stats.json and run score again',
    ]);
    expect(await codes([folder], { embeddings: false })).toEqual([]);
  });
});

describe('folders beside each other', () => {
  it('scored by two models under one name are told, with what differs', async () => {
    const other = await whole('other', ['1'], ['b32'], 'q-');
    const { findings } = await checkFolders([await whole('one', ['0']), other]);
    expect(findings).toMatchObject([
      { code: 'mixed_models', level: 'problem', column: 'clip_b32_similarity_score', folder: 'other' },
    ]);
    expect(findings[0].message).toContain('scored by another model than one: name "fp-clip:b32" there');
  });

  it('that hold one shard twice are told', async () => {
    expect(await codes([await whole('a'), await whole('b', ['1'])])).toEqual(['problem repeated_shard']);
  });

  it('that lack each other’s score are told', async () => {
    expect(await codes([await whole('a', ['0']), await whole('b', ['1'], ['l14'])])).toEqual([
      'incomplete missing_columns',
      'incomplete missing_columns',
    ]);
  });

  it('that are all the parts make a whole; of another list they do not', async () => {
    const part = async (index: number, list: string) => {
      const folder = await whole(`part-${index}`, [`${index}`]);
      const record = { index, count: 2, shards: 1, pool: 2, list };
      folder.files.set(partFile(record), encodeOutcome(record));
      return folder;
    };
    expect(await codes([await part(0, 'l'), await part(1, 'l')])).toEqual([]);
    expect(await codes([await part(0, 'l'), await part(1, 'm')])).toEqual(['problem part_lists_differ']);
    expect(await codes([await part(0, 'l')], { asParts: true })).toEqual([]);
  });
});

describe('a foreign folder', () => {
  const parquet = (rows: number, type: 'float' | 'double' = 'double') =>
    encodeParquet([
      { name: 'uid', type: 'string', values: Array.from({ length: rows }, (_, i) => makeUid(i)) },
      { name: 'clip_b32_similarity_score', type, values: Array.from({ length: rows }, () => 0.5) },
    ]);
  const npz = (rows: number) => {
    const header = npyHeader("'<f4'", [rows, 2]);
    const member = new Uint8Array(header.length + rows * 8);
    member.set(header);
    const bytes = new Uint8Array(member.buffer, header.length);
    new Float32Array(bytes.slice().buffer).fill(Math.SQRT1_2).forEach((value, i) => {
      new DataView(member.buffer).setFloat32(header.length + 4 * i, value, true);
    });
    // Compressed, as np.savez_compressed writes it.
    return zipSync({ 'b32_img.npy': member, 'b32_txt.npy': member });
  };

  it('is checked as far as possible', async () => {
    const folder = new MemoryFolder('dc', { 'x.parquet': parquet(5), 'x.npz': npz(5) });
    expect(await codes([folder])).toEqual(['note unknown_model']);
    folder.files.set('x.npz', npz(4));
    expect(await codes([folder])).toEqual(['problem npz_rows', 'note unknown_model']);
    folder.files.set('y.parquet', parquet(2, 'float'));
    expect(await codes([folder])).toContain('note mixed_types');
  });

  it('beside one of ours is told to be of an unknown model', async () => {
    const folder = new MemoryFolder('dc', { 'x.parquet': parquet(5, 'float') });
    expect(await codes([await whole(), folder])).toEqual(['note unknown_model', 'note unknown_model']);
  });

  it('that is empty is told', async () => {
    expect(await codes([new MemoryFolder()])).toEqual(['problem no_metadata']);
  });
});

describe('values', () => {
  async function values(folder: MemoryFolder): Promise<{ [code: string]: string[] }> {
    const findings = new Findings();
    const { folders } = await checkFolders([folder]);
    for (const shard of folders[0].shards) {
      await checkScores(shard, findings);
      await checkEmbeddings(shard, findings);
    }
    await checkUids(folders[0].shards, findings);
    return Object.fromEntries(findings.list().map(({ code, places }) => [code, places.map((p) => p.detail)]));
  }

  it('of a whole folder give no finding, rounded to float16 as they are', async () => {
    expect(await values(await whole())).toEqual({});
  });

  it('that are not what they should be are counted', async () => {
    const folder = await whole();
    const bad = output('2', 6, ['b32']);
    const { scores, image, text: captions, dim } = bad.table.clips[0];
    scores[1] = Number.NaN;
    scores[2] += 0.002;
    image![3 * dim] = Number.POSITIVE_INFINITY;
    for (let i = 4 * dim; i < 5 * dim; i++) captions![i] *= 1.01;
    bad.table.rows[5].uid = makeUid(0);
    await commitShard(folder, '2', bad);
    expect(await values(folder)).toMatchObject({
      score_nan: ['1 of 6 rows'],
      npz_not_finite: ['1 rows of b32_img'],
      npz_not_unit: ['1 rows of b32_txt'],
      score_not_dot: [expect.stringMatching(/rows, by up to/)],
      uid_repeated: [],
    });
  });

  it('of a row that the stats cannot vouch for are found too', async () => {
    const folder = new MemoryFolder('dc', {
      'x.parquet': encodeParquet([
        { name: 'uid', type: 'string', values: [makeUid(0), 'xyz', '', makeUid(0)] },
        { name: 'clip_b32_similarity_score', type: 'double', values: [0.5, null, 0.25, Number.NaN] },
      ]),
    });
    expect(await values(folder)).toEqual({
      score_nan: ['2 of 4 rows'],
      uid_malformed: ['2 rows, row 1 first'],
      uid_repeated: [],
    });
  });
});
