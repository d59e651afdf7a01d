import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '../../cli/io/folder.ts';
import { commitShard } from '../../src/metadata/commit.ts';
import { prepareFolder } from '../../src/metadata/folder.ts';
import { parseNpyMatrix } from '../../src/metadata/npy-matrix.ts';
import { type Float32Matrix, openNpz } from '../../src/metadata/npz.ts';
import { largestDifference } from '../embeddings/support.ts';
import { cli } from '../helpers/cli.ts';
import { fixtureFolder } from '../helpers/fixtures.ts';
import { makeRows } from '../helpers/tables.ts';
import { scratch } from '../helpers/tmp.ts';

let root: string;
let metadata: string;
let arrays: { [name: string]: Float32Matrix };

/** The pool of the goldens as metadata: two shards, two slugs in the second folder. */
async function writePool(path: string, slugs: readonly string[]): Promise<void> {
  const fixtures = fixtureFolder('embeddings');
  const pool = await openNpz(await fixtures.open('pool.npz'), 'pool.npz');
  const folder = openFolder(path);
  await prepareFolder(folder, {
    shardsieve: '0.1.0',
    rows: { fingerprint: 'r', caption: 'txt' },
    models: {},
  });
  for (const [shard, start, end] of [
    ['00000', 0, 150],
    ['00001', 150, 400],
  ] as const) {
    const image = (await pool.matrix('demo_img', { start, end })).data;
    const text = (await pool.matrix('demo_txt', { start, end })).data;
    const rows = end - start;
    const groups = Object.fromEntries(
      ['rows', ...slugs.map((slug) => `clip:${slug}`)].map((name) => [name, name]),
    );
    await commitShard(folder, shard, {
      table: {
        rows: makeRows(rows),
        clips: slugs.map((slug) => ({ slug, dim: 32, scores: new Float32Array(rows), image, text })),
      },
      skipped: [],
      stats: { input: { name: shard, size: 1, mtimeMs: 1 }, seen: rows, scored: rows, skipped: {}, groups },
    });
  }
}

beforeAll(async () => {
  root = await scratch();
  metadata = join(root, 'metadata');
  await writePool(metadata, ['demo']);
  await writePool(join(root, 'two'), ['demo', 'other']);
  const fixtures = fixtureFolder('embeddings');
  const npz = await openNpz(await fixtures.open('arrays.npz'), 'arrays.npz');
  arrays = {};
  for (const name of npz.names) arrays[name] = await npz.matrix(name);
});

const matrix = async (path: string) => parseNpyMatrix(new Uint8Array(await readFile(path)), path);

describe('shardsieve centroids', () => {
  it('writes faiss’s centroids of the pool, and says what it did', async () => {
    const out = join(root, 'c.npy');
    const run = await cli(['centroids', metadata, '--k', '12', '--out', out, '--threads', '1']);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(run.stdout).toMatch(/^12 centroids of demo from 400 rows, \d+ passes; .*\nwritten to .*c\.npy\n$/);
    const written = await matrix(out);
    expect([written.rows, written.dim]).toEqual([12, 32]);
    expect(largestDifference(written.data, arrays['kmeans_plain'].data)).toBeLessThan(1e-6);
    const json = await cli([
      'centroids',
      metadata,
      '-k',
      '12',
      '--spherical',
      '--seed',
      '7',
      '-o',
      out,
      '--json',
    ]);
    expect(JSON.parse(json.stdout)).toMatchObject({
      slug: 'demo',
      k: 12,
      dim: 32,
      rows: 400,
      unjudged: 0,
      split: 0,
      out,
    });
    expect(largestDifference((await matrix(out)).data, arrays['kmeans_spherical'].data)).toBeLessThan(1e-6);
  });

  it('trains in mini-batches and on samples, the same for a seed', async () => {
    const outs = ['a.npy', 'b.npy', 'c.npy'].map((name) => join(root, name));
    const sampled = ['--k', '5', '--sample', '0.5', '--method', 'minibatch', '--iterations', '2', '--json'];
    for (const [i, seed] of ['1', '1', '2'].entries()) {
      const run = await cli(['centroids', metadata, ...sampled, '--seed', seed, '--out', outs[i]]);
      expect(JSON.parse(run.stdout)).toMatchObject({ rows: 200, iterations: 2 });
    }
    const [a, b, c] = await Promise.all(outs.map((out) => readFile(out)));
    expect(a.equals(b)).toBe(true);
    expect(a.equals(c)).toBe(false);
  });

  it('asks for a slug where there are several, and names what is there', async () => {
    const out = join(root, 'none.npy');
    const two = join(root, 'two');
    const unnamed = await cli(['centroids', two, '--k', '3', '--out', out]);
    expect(unnamed).toMatchObject({ code: 2, stderr: expect.stringMatching(/several models.*demo, other/) });
    const named = await cli(['centroids', two, '--k', '3', '--slug', 'other', '--out', out]);
    expect(named.code).toBe(0);
    await rm(out);
    for (const [args, code, words] of [
      [['--k', '401'], 1, /400 rows cannot make 401 clusters/],
      [['--k', '3', '--slug', 'l14'], 1, /no finished scores of l14/],
      [['--k', '0'], 2, /above 0/],
      [['--k', '3', '--device', 'nowhere'], 2, /no device is called "nowhere"/],
      [[], 2, /--k/],
    ] as const) {
      const run = await cli(['centroids', metadata, ...args, '--out', out]);
      expect([run.code, run.stderr]).toEqual([code, expect.stringMatching(words)]);
    }
    expect(await readdir(root)).not.toContain('none.npy');
  });

  it('wants embeddings that belong to the rows', async () => {
    const bare = join(root, 'bare');
    await writePool(bare, ['demo']);
    await rm(join(bare, '00001.npz'));
    const run = await cli(['centroids', bare, '--k', '3', '--out', join(root, 'x.npy')]);
    expect(run).toMatchObject({ code: 1, stderr: expect.stringMatching(/no embeddings beside.*00001\.npz/) });
  });
});
