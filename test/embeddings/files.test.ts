import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openEmbeddings, openPoolEmbeddings } from '../../src/embeddings/files.ts';
import { poolRows } from '../../src/embeddings/types.ts';
import { MetadataError } from '../../src/errors.ts';
import { commitShard } from '../../src/metadata/commit.ts';
import { prepareFolder } from '../../src/metadata/folder.ts';
import { openNpz, writeNpz } from '../../src/metadata/npz.ts';
import { fixture } from '../helpers/fixtures.ts';
import { MemoryFolder } from '../helpers/memory-folder.ts';
import { makeClip, makeOutput } from '../helpers/tables.ts';
import { pick } from './support.ts';

const RUN = { shardsieve: '0.1.0', rows: { fingerprint: 'r', caption: 'txt' }, models: {} };

async function ownFolder(label: string, shards: { [name: string]: number }): Promise<MemoryFolder> {
  const folder = new MemoryFolder(label);
  await prepareFolder(folder, RUN);
  for (const [name, rows] of Object.entries(shards)) {
    await commitShard(folder, name, makeOutput(rows, ['b32', 'l14']));
  }
  return folder;
}

describe('rows of an array', () => {
  it.each(['stored.npz', 'deflated.npz'])('are those of the whole, from NumPy’s %s', async (name) => {
    const memory = new MemoryFolder('m', { [name]: fixture(`metadata/${name}`) });
    const npz = await openNpz(await memory.open(name), name);
    for (const dtype of ['f2', 'f4', 'f8']) {
      expect(await npz.shape(dtype)).toMatchObject({ rows: 3, dim: 5 });
      const whole = await npz.matrix(dtype);
      for (const rows of [
        { start: 1, end: 3 },
        { start: 2, end: 2 },
        Uint32Array.of(0, 2),
        Uint32Array.of(),
      ]) {
        expect(await npz.matrix(dtype, rows)).toEqual(pick(whole, rows));
      }
    }
    await expect(npz.matrix('f2', { start: 2, end: 4 })).rejects.toThrow(MetadataError);
    await expect(npz.matrix('f2', Uint32Array.of(3))).rejects.toThrow(MetadataError);
  });

  it('are read alone where they lie far apart', async () => {
    const values = Float32Array.from({ length: 4000 * 64 }, (_, i) => i % 1009);
    const folder = new MemoryFolder();
    const sink = await folder.create('a.npz');
    await writeNpz(sink, [{ name: 'a', dim: 64, values }]);
    await sink.commit();
    const file = await folder.open('a.npz');
    let read = 0;
    const counted = {
      size: file.size,
      slice: (start: number, end: number) => {
        read += end - start;
        return file.slice(start, end);
      },
    };
    const npz = await openNpz(counted, 'a.npz');
    const whole = await npz.matrix('a');
    const before = read;
    expect(await npz.matrix('a', Uint32Array.of(5, 2000, 3999))).toEqual(
      pick(whole, Uint32Array.of(5, 2000, 3999)),
    );
    expect(read - before).toBe(3 * 64 * 2);
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat(3999), { maxLength: 60 }), async (chosen) => {
        const rows = Uint32Array.from(chosen.sort((x, y) => x - y));
        expect(await npz.matrix('a', rows)).toEqual(pick(whole, rows));
      }),
      { numRuns: 25 },
    );
  });
});

describe('the embeddings of folders', () => {
  it('come in pool order, with both sides of the slug asked for', async () => {
    const folders = [
      await ownFolder('one', { '00001': 4, '00000': 3 }),
      await ownFolder('two', { '00000': 2 }),
    ];
    const { files } = await openPoolEmbeddings(folders, 'l14');
    expect(files.map(({ name, shard, rows }) => [name, shard, rows])).toEqual([
      ['one/00000.npz', '00000', 3],
      ['one/00001.npz', '00001', 4],
      ['two/00000.npz', '00000', 2],
    ]);
    expect(poolRows(files)).toBe(9);
    const { image, text } = makeClip('l14', 4);
    const near = (a: Float32Array, b: Float32Array) => a.every((value, i) => Math.abs(value - b[i]) < 1e-3);
    expect(near((await files[1].image()).data, image!)).toBe(true);
    expect(near((await files[1].text({ start: 1, end: 2 })).data, text!.subarray(4, 8))).toBe(true);
  });

  it('name the file where rows do not match, and the slugs there are', async () => {
    const folder = await ownFolder('one', { '0': 3 });
    const wrong = await openEmbeddings(folder, '0', 'b32', 4);
    await expect(wrong.image()).rejects.toThrow(/b32_img has 3 rows, the parquet beside it 4.*one\/0\.npz/);
    const other = await openEmbeddings(folder, '0', 'h14', 3);
    await expect(other.text()).rejects.toThrow(/no embeddings h14_txt.*b32, l14/);
  });

  it('are refused where they are missing, half-written or not vouched for', async () => {
    const folder = await ownFolder('one', { '0': 3 });
    await expect(openPoolEmbeddings([folder], 'h14')).rejects.toThrow(/one\/0 has no finished scores of h14/);
    folder.files.delete('0.npz');
    await expect(openPoolEmbeddings([folder], 'b32')).rejects.toThrow(/no embeddings beside.*one\/0\.npz/);
    folder.files.delete('0_stats.json');
    await expect(openPoolEmbeddings([folder], 'b32')).rejects.toThrow(MetadataError);
    await expect(openPoolEmbeddings([new MemoryFolder('none')], 'b32')).rejects.toThrow(/no metadata here/);
  });
});
