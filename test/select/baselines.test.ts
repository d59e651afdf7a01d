import { createHash } from 'node:crypto';
import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openFolder } from '../../cli/io/folder.ts';
import { selectSubset } from '../../cli/jobs/select.ts';
import { readColumns } from '../../src/metadata/parquet-read.ts';
import type { PresetName } from '../../src/select/spec.ts';
import { readSubset } from '../../src/uids/npy.ts';
import { UidSet } from '../../src/uids/uid-set.ts';
import { fixtureLines } from '../helpers/fixtures.ts';
import { scratch } from '../helpers/tmp.ts';

/** What DataComp's own `baselines/apply_filter.py` wrote; see the README beside the fixture. */
interface Golden {
  name: PresetName;
  arch?: string;
  threshold?: number;
  fraction?: number;
  files?: string[];
  rows: number;
  sha256: string;
  mask: string;
}

const FIXTURES = join(import.meta.dirname, '../fixtures/baselines');
const ALL = ['double', 'float32', 'mixed'];
const folder = await scratch();

async function poolOf(files: readonly string[] = ALL): Promise<string> {
  if (files.length === ALL.length) return join(FIXTURES, 'pool');
  const path = join(folder, files.join('-'));
  await mkdir(path, { recursive: true });
  for (const file of files) {
    for (const ending of ['parquet', 'npz']) {
      await copyFile(join(FIXTURES, 'pool', `${file}.${ending}`), join(path, `${file}.${ending}`));
    }
  }
  return path;
}

/** The rows that differ, by file and number: what to look at when a subset is not the same. */
async function differences(golden: Golden, subset: string): Promise<string[]> {
  const kept = new UidSet(await readSubset(openFolder(folder, { readOnly: true }), subset));
  const wanted = [...golden.mask].map((digit) => Number.parseInt(digit, 16));
  const found: string[] = [];
  let row = 0;
  for (const file of ALL) {
    const columns = await readColumns(
      openFolder(join(FIXTURES, 'pool'), { readOnly: true }),
      `${file}.parquet`,
    ).catch(() => []);
    const uids = columns.find(({ name }) => name === 'uid')?.values ?? [];
    const isGiven = golden.files?.includes(file) ?? true;
    for (let i = 0; i < uids.length; i++, row++) {
      const isWanted = ((wanted[row >> 2] >> (3 - (row & 3))) & 1) === 1;
      if (isGiven && isWanted !== kept.count(String(uids[i])) > 0) found.push(`${file} row ${i}`);
    }
  }
  return found;
}

describe('the same bytes as DataComp’s own code writes', () => {
  const goldens = fixtureLines<Golden>('baselines/golden.jsonl');
  const label = ({ rows: _, sha256: __, mask: ___, ...flags }: Golden) => JSON.stringify(flags);

  it.each(goldens.map((golden) => [label(golden), golden] as const))('%s', async (_, golden) => {
    const { name, arch, threshold, fraction, files, rows, sha256 } = golden;
    const assets = join(FIXTURES, 'assets');
    const needsFiles = name.startsWith('image_based');
    const preset = {
      ...{ name, arch, threshold, fraction },
      ...(needsFiles
        ? { centroids: join(assets, 'small_centroids.pt'), targets: join(assets, 'in1k_clip_vit_l14_*.pt') }
        : {}),
    };
    const out = join(folder, 'subset.npy');
    const totals = await selectSubset({
      metadata: await poolOf(files),
      filters: [{ preset }],
      multiset: true,
      out,
    });
    expect(await differences(golden, 'subset.npy')).toEqual([]);
    expect(totals.written).toBe(rows);
    expect(
      createHash('sha256')
        .update(await readFile(out))
        .digest('hex'),
    ).toBe(sha256);
  });
});
