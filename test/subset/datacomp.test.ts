import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { createBlur } from '../../cli/decode/blur.ts';
import { fileSource } from '../../cli/io/file.ts';
import { openFolder } from '../../cli/io/folder.ts';
import { memorySource } from '../../src/io/memory.ts';
import { readFaceTable } from '../../src/subset/face-table.ts';
import { type ReshardOptions, reshard } from '../../src/subset/reshard.ts';
import { readTar } from '../../src/tar/reader.ts';
import { parseSubset } from '../../src/uids/npy.ts';
import { UidSet } from '../../src/uids/uid-set.ts';
import { MemoryFolder } from '../helpers/memory-folder.ts';

const FIXTURES = join(import.meta.dirname, '../fixtures/subset/datacomp');
const bytesOf = (name: string) => new Uint8Array(readFileSync(join(FIXTURES, name)));
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

interface Golden {
  shards: { [shard: string]: [string, string][] };
  stats: { [file: string]: object };
  meta: {
    processed_count: number;
    output_count: number;
    output_shard_count: number;
    output_shard_format: string;
  };
  sample_ids: string;
}
const goldenOf = (name: string) => JSON.parse(readFileSync(join(FIXTURES, `${name}.json`), 'utf8')) as Golden;

async function run(options: ReshardOptions = {}, shards = readdirSync(join(FIXTURES, 'pool'))) {
  const inputs = shards
    .filter((name) => name.endsWith('.tar'))
    .map((name) => ({ shard: name.slice(0, -4), source: fileSource(join(FIXTURES, 'pool', name)) }));
  const folder = new MemoryFolder();
  const subset = new UidSet(parseSubset(bytesOf('subset.npy'), 'subset.npy'));
  const report = await reshard(inputs, subset, folder, { names: 'uid', ...options });
  const members: { [shard: string]: [string, Uint8Array][] } = {};
  for (const name of (await folder.list()).filter((file) => file.endsWith('.tar'))) {
    members[name] = [];
    for await (const entry of readTar(memorySource(name, folder.files.get(name)!).stream(), { shard: name }))
      members[name].push([entry.name, await entry.bytes(1e6)]);
  }
  const listing = Object.fromEntries(
    Object.entries(members).map(([shard, all]) => [shard, all.map(([name, bytes]) => [name, sha256(bytes)])]),
  );
  return { folder, report, members, listing };
}

const table = async () => {
  const folder = openFolder(FIXTURES, { readOnly: true });
  const subset = new UidSet(parseSubset(bytesOf('subset.npy'), 'subset.npy'));
  return readFaceTable([{ folder, name: 'metadata.parquet' }], subset);
};

describe('DataComp’s own resharder, on the same pool', () => {
  it.each([
    ['plain', {}, undefined],
    ['small', { shardSize: 4 }, undefined],
    ['range', {}, ['00000001.tar', '00000003.tar']],
    ['shuffled', { shuffleBuffer: 6, seed: 5 }, undefined],
  ] as [string, ReshardOptions, string[] | undefined][])(
    'gives the same members in the same order, and the same files beside them: %s',
    async (name, options, shards) => {
      const golden = goldenOf(name);
      const { folder, listing } = await run(options, shards);
      expect(listing).toEqual(golden.shards);
      for (const [file, stats] of Object.entries(golden.stats))
        expect(JSON.parse(folder.text(file))).toEqual(stats);
      const { processed_count: _, ...meta } = golden.meta;
      expect(JSON.parse(folder.text('meta.json'))).toMatchObject(meta);
      expect(sha256(folder.files.get('sample_ids.npy')!)).toBe(golden.sample_ids);
    },
  );

  it('gives the same blurred pictures, but for the decoder’s and the encoder’s last bits', async () => {
    const golden = goldenOf('blurred');
    const faces = { table: await table(), blur: createBlur(), inject: true };
    const { report, members, listing } = await run({ faces });
    expect(Object.keys(listing)).toEqual(Object.keys(golden.shards));
    const all = members['00000000.tar'];
    expect(all.map(([name]) => name)).toEqual(golden.shards['00000000.tar'].map(([name]) => name));
    expect(report.faces).toEqual({ blurred: 3, boxes: 4, injected: 3, unknown: 0, pictures: 0 });
    const pictures = readdirSync(FIXTURES).filter((name) => name.endsWith('.webp'));
    expect(pictures).toHaveLength(3);
    for (const name of pictures) {
      const ours = await sharp(all.find(([member]) => member === name)![1])
        .raw()
        .toBuffer();
      const theirs = await sharp(bytesOf(name)).raw().toBuffer();
      expect(ours.length).toBe(theirs.length);
      const differences = ours.map((level, i) => Math.abs(level - theirs[i]));
      expect(differences.reduce((sum, difference) => sum + difference, 0) / ours.length).toBeLessThan(0.5);
    }
    // What has no boxes is verbatim.
    const untouched = listing['00000000.tar'].filter(
      ([name]) => name.endsWith('.jpg') || name.endsWith('.txt'),
    );
    const golds = golden.shards['00000000.tar'].filter(
      ([name]) => name.endsWith('.jpg') || name.endsWith('.txt'),
    );
    expect(untouched).toEqual(golds);
  });

  it('writes boxes into the JSON with the same meaning, and leaves the rest of it as it was', async () => {
    const golden = goldenOf('injected');
    const { members, listing } = await run({ faces: { table: await table(), inject: true } });
    const text = readFileSync(join(FIXTURES, 'injected-sample.json'), 'utf8');
    const { uid } = JSON.parse(text) as { uid: string };
    const ours = new TextDecoder().decode(
      members['00000000.tar'].find(([name]) => name === `${uid}-0.json`)![1],
    );
    expect(JSON.parse(ours)).toEqual(JSON.parse(text));
    expect(ours).toContain(
      '"wide": 12345678901234567890, "exp": 1.50e2, "word": "caf\\u00e9", "face_bboxes": [[',
    );
    const changed = listing['00000000.tar'].filter(([name, hash], i) => {
      expect(name).toBe(golden.shards['00000000.tar'][i][0]);
      return hash !== golden.shards['00000000.tar'][i][1];
    });
    // Of three samples, repeated three times, once and twice; there Python wrote the whole JSON anew.
    expect(changed.map(([name]) => name.slice(33))).toEqual(
      expect.arrayContaining(['0.json', '1.json', '2.json']),
    );
    expect(changed).toHaveLength(6);
  });
});
