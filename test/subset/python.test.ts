import { createHash } from 'node:crypto';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { memorySource } from '../../src/io/memory.ts';
import { reshard } from '../../src/subset/reshard.ts';
import { UidSet } from '../../src/uids/uid-set.ts';
import { parseUidText, type Uids, wordsOf } from '../../src/uids/uids.ts';
import { MemoryFolder } from '../helpers/memory-folder.ts';
import { DATACOMP, onDisk, oracle, PYTHON, RESHARD_PYTHON, TRAIN_PYTHON } from '../helpers/python.ts';
import { type Members, makeTar } from '../helpers/shards.ts';
import { makeUid } from '../helpers/tables.ts';
import { filesOf, scratch } from '../helpers/tmp.ts';

const long = `${'folder/'.repeat(30)}naïve 猫`;

async function resharded() {
  const picture = await sharp({ create: { width: 32, height: 32, channels: 3, background: 'teal' } })
    .jpeg()
    .toBuffer();
  const samples = Array.from({ length: 40 }, (_, i): Members => {
    const key = i === 7 ? long : `${i % 20}`.padStart(9, '0');
    return [
      [`${key}.jpg`, new Uint8Array(picture)],
      [`${key}.json`, JSON.stringify({ uid: makeUid(i) })],
      [`${key}.txt`, `caption ${i}`],
    ];
  });
  const inputs = [samples.slice(0, 20), samples.slice(20)];
  const uids: Uids = new BigUint64Array(2 * 41);
  for (let i = 0; i < 41; i++) parseUidText(makeUid(i % 40), wordsOf(uids), i);
  const folder = new MemoryFolder();
  const sources = inputs.map(async (part, i) => ({
    shard: `${i}`,
    source: memorySource(`${i}.tar`, await makeTar(part.flat())),
  }));
  const report = await reshard(await Promise.all(sources), new UidSet(uids), folder, { shardSize: 25 });
  return { folder, report };
}

describe.skipIf(PYTHON === undefined)('read in Python (SHARDSIEVE_PYTHON names none)', () => {
  it('gives tarfile and webdataset every sample under a name of its own', async () => {
    const { folder, report } = await resharded();
    expect(report).toMatchObject({ written: 41, renamed: 5 });
    const read = JSON.parse(await onDisk(folder, (path) => oracle(PYTHON!, 'reshard_check.py', path))) as {
      [shard: string]: {
        members: { [name: string]: string };
        samples: { key: string; extensions: string[] }[];
      };
    };
    expect(Object.values(read).map(({ samples }) => samples.length)).toEqual([25, 16]);
    for (const { members, samples } of Object.values(read)) {
      expect(new Set(samples.map(({ key }) => key)).size).toBe(samples.length);
      for (const { extensions } of samples) expect(extensions).toEqual(['jpg', 'json', 'txt']);
      expect(Object.keys(members)).toHaveLength(3 * samples.length);
    }
    const first = read['00000000.tar'].members;
    expect(first[`${long}.txt`]).toBe(createHash('sha256').update('caption 7').digest('hex'));
  });
});

describe.skipIf(TRAIN_PYTHON === undefined)(
  'trained on by open_clip (SHARDSIEVE_TRAIN_PYTHON names none)',
  () => {
    it('feeds its loop, the number of samples from sizes.json', async () => {
      const { folder } = await resharded();
      const printed = await onDisk(folder, (path) => oracle(TRAIN_PYTHON!, 'train_smoke.py', path, '8'));
      expect(JSON.parse(printed.trim().split('\n').at(-1)!)).toEqual({
        samples: 41,
        shards: 2,
        trained: true,
      });
    }, 300_000);
  },
);

describe.skipIf(RESHARD_PYTHON === undefined || DATACOMP === undefined)(
  'resharded by DataComp (SHARDSIEVE_RESHARD_PYTHON and SHARDSIEVE_DATACOMP name none)',
  () => {
    it('gives the goldens that test/subset/datacomp.test.ts compares with', async () => {
      const out = await scratch();
      oracle(RESHARD_PYTHON!, 'reshard_goldens.py', DATACOMP!, out);
      expect(await filesOf(out)).toEqual(
        await filesOf(join(import.meta.dirname, '../fixtures/subset/datacomp')),
      );
    }, 120_000);
  },
);
