import { basename, dirname, join } from 'node:path';
import { termsOf } from '../../src/annotate/punsafe.ts';
import { inspectFolder } from '../../src/metadata/folder.ts';
import { readColumns } from '../../src/metadata/parquet-read.ts';
import type { FilterInput } from '../../src/select/spec.ts';
import { readSubset } from '../../src/uids/npy.ts';
import { UidSet } from '../../src/uids/uid-set.ts';
import { openFolder } from '../io/folder.ts';
import { packageRoot } from '../package-root.ts';
import { type FilterOptions, type FilterTotals, filterShards } from './filter.ts';
import { selectSubset } from './select.ts';

/** A third of the demo's captions belong to another picture; keeping this share is what drops them. */
export const DEMO_FRACTION = 0.5;

/** Drawings that look nearly alike are dropped first; the share is of the whole pool, as DataComp's is. */
const DEMO_FILTERS: FilterInput[] = [{ near_duplicates: { clusters: 4, epsilon: 0.02 } }];

export interface DemoTotals extends FilterTotals {
  /** The score that the kept share begins with. */
  threshold: number;
  /** Pairs whose caption is the picture's own, and pairs whose captions were exchanged, as the JSON says. */
  own: { total: number; kept: number };
  exchanged: { total: number; kept: number };
  /** The safe subset, and how many drawings each classifier keeps out of it: some are kept out by several. */
  safe: { out: string; total: number; kept: number; dropped: { [head: string]: number } };
}

/** The main job on the model and the shards that ship with the package. Throws what `filterShards` throws. */
export async function runDemo(
  options: Pick<FilterOptions, 'out' | 'fraction' | 'onEvent' | 'onStep' | 'signal'>,
): Promise<DemoTotals> {
  const totals = await filterShards({
    ...options,
    shards: join(packageRoot(), 'demo', 'shards'),
    models: ['demo'],
    carry: ['json:exchanged'],
    safety: ['nsfwjs', `concepts:${join(packageRoot(), 'demo', 'concepts.yaml')}`],
    filters: DEMO_FILTERS,
    fraction: options.fraction ?? DEMO_FRACTION,
  });
  const { metadata: folder, subset } = totals.paths;
  const kept = new UidSet(
    await readSubset(openFolder(dirname(subset), { readOnly: true }), basename(subset)),
  );
  const own = { total: 0, kept: 0 };
  const exchanged = { total: 0, kept: 0 };
  const metadata = openFolder(folder, { readOnly: true });
  const { shards, run } = await inspectFolder(metadata);
  const dropped: { [head: string]: number } = {};
  for (const shard of shards) {
    const columns = await readColumns(metadata, `${shard}.parquet`);
    const column = (name: string) => columns.find((candidate) => candidate.name === name)?.values ?? [];
    const marks = column('exchanged');
    const uids = column('uid');
    for (let row = 0; row < marks.length; row++) {
      const group = marks[row] === true ? exchanged : own;
      group.total++;
      if (kept.count(String(uids[row])) > 0) group.kept++;
    }
    for (const { name, ...entry } of Object.values(run?.groups ?? {})) {
      const terms = termsOf(entry).map(({ columns: names, unsure }) => ({
        unsure,
        values: names.map(column),
      }));
      if (terms.length === 0) continue;
      const isFlagged = (row: number) =>
        terms.some(({ unsure, values }) => values.reduce((sum, of) => sum + Number(of[row]), 0) >= unsure);
      dropped[String(name)] ??= 0;
      for (let row = 0; row < uids.length; row++) if (isFlagged(row)) dropped[String(name)]++;
    }
  }
  const out = join(options.out, 'safe.npy');
  const { total, keptRows } = await selectSubset({ metadata: folder, filters: [{ safe: {} }], out });
  const safe = { out, total, kept: keptRows, dropped };
  return { ...totals, threshold: totals.select.steps.at(-1)!.found[0].threshold!, own, exchanged, safe };
}
