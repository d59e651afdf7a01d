import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { commitShard } from '../../src/metadata/commit.ts';
import { fromFloat16, toFloat16 } from '../../src/metadata/float16.ts';
import { prepareFolder } from '../../src/metadata/folder.ts';
import { parseFilters } from '../../src/select/parse.ts';
import { selectSubset } from '../../src/select/select.ts';
import { writeSubset } from '../../src/uids/npy.ts';
import { MemoryFolder } from '../helpers/memory-folder.ts';
import { DATACOMP, onDisk, oracle, PYTHON } from '../helpers/python.ts';
import { makeOutput } from '../helpers/tables.ts';

interface Read {
  dtypes: { [column: string]: string };
  schema: { [column: string]: string };
  rows: { [column: string]: unknown }[];
  npz: { [name: string]: { dtype: string; shape: number[]; values: number[] } };
}

async function makeFolder() {
  const folder = new MemoryFolder();
  const models = { b32: { fingerprint: 'x' }, l14: { fingerprint: 'y' } };
  await prepareFolder(folder, { shardsieve: '0.1.0', rows: { fingerprint: 'r' }, models });
  const output = makeOutput(9, ['l14', 'b32']);
  for (const [i, row] of output.table.rows.entries())
    row.carried = { count: i, ratio: i / 4, tag: i % 2 ? 't' : null };
  await commitShard(folder, '00000000', output);
  await commitShard(folder, '00000001', makeOutput(4, ['b32', 'l14']));
  return { folder, output };
}

describe.skipIf(PYTHON === undefined)('read in Python (SHARDSIEVE_PYTHON names none)', () => {
  it('has the types and values that pandas, pyarrow and NumPy should find', async () => {
    const { folder, output } = await makeFolder();
    const read = await onDisk(folder, (path) => oracle(PYTHON!, 'metadata_check.py', path));
    const shard = (JSON.parse(read) as { [shard: string]: Read })['00000000'];
    expect(shard.schema).toMatchObject({
      uid: 'string',
      original_width: 'int64',
      face_bboxes: 'list<element: list<element: double>>',
      count: 'int64',
      ratio: 'double',
      tag: 'string',
      clip_b32_similarity_score: 'float',
    });
    expect(shard.dtypes).toMatchObject({
      original_width: 'int64',
      clip_l14_similarity_score: 'float32',
      count: 'int64',
    });
    const { rows, clips } = output.table;
    for (const [i, { carried, ...row }] of rows.entries()) {
      expect(shard.rows[i]).toEqual({
        ...row,
        ...carried,
        clip_b32_similarity_score: clips[1].scores[i],
        clip_l14_similarity_score: clips[0].scores[i],
      });
    }
    expect(Object.keys(shard.npz)).toEqual(['b32_img', 'b32_txt', 'l14_img', 'l14_txt']);
    expect(shard.npz['l14_txt']).toEqual({
      dtype: 'float16',
      shape: [9, 4],
      values: [...fromFloat16(toFloat16(clips[0].text!))],
    });
  });
});

describe.skipIf(PYTHON === undefined || DATACOMP === undefined)(
  'filtered by DataComp (SHARDSIEVE_DATACOMP names none)',
  () => {
    it('gives the same subset file', async () => {
      const { folder } = await makeFolder();
      const cases = [{ threshold: 0.15 }, { fraction: 0.3 }, { fraction: 0.75 }];
      const printed = await onDisk(folder, (path) =>
        oracle(
          PYTHON!,
          'datacomp_select.py',
          DATACOMP!,
          path,
          'l14',
          JSON.stringify(cases),
          `${path}/subsets`,
        ),
      );
      for (const [i, line] of printed.trim().split('\n').entries()) {
        const { uids } = await selectSubset([folder], {
          filters: parseFilters([{ score: { column: 'l14', ...cases[i] } }]),
        });
        const out = new MemoryFolder();
        await writeSubset(out, 's.npy', uids, { multiset: true });
        const sha256 = createHash('sha256').update(out.files.get('s.npy')!).digest('hex');
        expect(JSON.parse(line)).toMatchObject({ rows: uids.length / 2, sha256 });
      }
    });
  },
);
