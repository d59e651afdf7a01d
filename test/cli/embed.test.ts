import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '../../cli/io/folder.ts';
import { parseNpyMatrix } from '../../src/metadata/npy-matrix.ts';
import { openNpz } from '../../src/metadata/npz.ts';
import { cli } from '../helpers/cli.ts';
import { goodSamples, type PoolSample, picture, tarOf, writePool } from '../helpers/pool.ts';
import { scratch } from '../helpers/tmp.ts';

let root: string;
const matrix = async (path: string) => parseNpyMatrix(new Uint8Array(await readFile(path)), path);

beforeAll(async () => {
  root = await scratch();
});

describe('shardsieve embed', () => {
  it('gives the image embeddings that score gives, in the order of the shards', async () => {
    const shards = await writePool(join(root, 'pool'), 2, 20);
    const out = join(root, 'targets.npy');
    const embedded = await cli(['embed', ...shards, '--model', 'demo', '--out', out]);
    expect(embedded).toMatchObject({ code: 0, stderr: '' });
    expect(embedded.stdout).toMatch(
      /^40 pictures embedded by .*demo.*\nfp32 on cpu; warm, [\d.,]+ pictures\/s\nwritten to .*targets\.npy\n$/,
    );
    const scored = await cli(['score', ...shards, '--model', 'demo', '--out', join(root, 'metadata')]);
    expect(scored.code).toBe(0);
    const metadata = openFolder(join(root, 'metadata'), { readOnly: true });
    const parts: number[] = [];
    for (const name of ['00000.npz', '00001.npz']) {
      const npz = await openNpz(await metadata.open(name), name);
      parts.push(...(await npz.matrix('demo_img')).data);
    }
    const targets = await matrix(out);
    expect(targets.rows).toBe(40);
    expect([...targets.data]).toEqual(parts);
  });

  it('needs no captions, and counts what has no picture', async () => {
    const shard = join(root, 'bare.tar');
    const samples: PoolSample[] = [
      { key: 'a', members: { jpg: await picture(1) } },
      { key: 'b', members: { txt: 'only words' } },
      { key: 'c', members: { png: await picture(2, 'png'), cls: '7' } },
      { key: 'd', members: { jpg: new Uint8Array([1, 2, 3]) } },
    ];
    await writeFile(shard, await tarOf(samples));
    const out = join(root, 'bare.npy');
    const run = await cli(['embed', shard, '--model', 'demo', '--out', out, '--json']);
    expect(JSON.parse(run.stdout)).toMatchObject({
      slug: 'demo',
      rows: 2,
      skipped: { no_image: 1, undecodable_image: 1 },
    });
    expect((await matrix(out)).rows).toBe(2);
  });

  it('writes nothing of a shard that ends early, or has no picture at all', async () => {
    const whole = await tarOf(await goodSamples(0, 4));
    await writeFile(join(root, 'cut.tar'), whole.subarray(0, 2000));
    await writeFile(join(root, 'words.tar'), await tarOf([{ key: 'a', members: { txt: 'words' } }]));
    for (const [name, words] of [
      ['cut', /cut/],
      ['words', /no picture/],
      ['missing', /missing\.tar/],
    ] as const) {
      const run = await cli([
        'embed',
        join(root, `${name}.tar`),
        '--model',
        'demo',
        '-o',
        join(root, 'no.npy'),
      ]);
      expect([run.code === 0, run.stderr]).toEqual([false, expect.stringMatching(words)]);
    }
    expect(await readdir(root)).not.toContain('no.npy');
  });
});
