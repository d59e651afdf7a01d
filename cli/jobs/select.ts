import { basename, dirname } from 'node:path';
import { checkFolders } from '../../src/metadata/check.ts';
import { writeFile } from '../../src/metadata/folder.ts';
import type { SelectEnv } from '../../src/select/env.ts';
import { guard } from '../../src/select/guard.ts';
import { filesOf } from '../../src/select/inspect.ts';
import { parseFilters } from '../../src/select/parse.ts';
import { openPool, type Pool } from '../../src/select/pool.ts';
import { encodeRecord, filesFingerprint, type SubsetRecord } from '../../src/select/record.ts';
import { refinedFor, type SelectedFolder } from '../../src/select/refined.ts';
import type { PoolFile, Scanner } from '../../src/select/scan.ts';
import { type Selection, selectFrom } from '../../src/select/select.ts';
import type { Filter, FilterInput } from '../../src/select/spec.ts';
import { type SubsetCounts, writeSubset } from '../../src/uids/npy.ts';
import type { Uids } from '../../src/uids/uids.ts';
import { VERSION } from '../../src/version.ts';
import { createEngine } from '../duckdb/engine.ts';
import { openFolder } from '../io/folder.ts';
import type { LidChoice } from '../language/models.ts';
import { sha256File } from '../onnx/files.ts';
import { createSelectEnv } from '../select/env.ts';
import { namesIn } from '../select/files.ts';

/** Which rows stay: filters in order, or one score and its bound, or both, the score last. */
export interface FilterChoice {
  filters?: readonly FilterInput[];
  /** Keep scores at or above this, compared in the column's own type. Either this or `fraction`. */
  threshold?: number;
  /** Keep this share of the rows, `(0, 1]`; ties with the last one stay. */
  fraction?: number;
  /** Default: the only `clip_…_similarity_score` there is. */
  column?: string;
  /** Parquets with a `uid` column, whose other columns filters may use. */
  join?: readonly string[];
  /** fastText's model for languages that no column has: `compressed` (default), `full`, or a file. */
  lid?: LidChoice;
  /** A row that some filter cannot judge (no caption, no score) is an error; else it is counted and kept out. */
  strict?: boolean;
  /** Keep repeated uids, as DataComp's own baselines do. */
  multiset?: boolean;
}

export interface SelectOptions extends FilterChoice {
  /** One or more metadata folders: Shardsieve's, DataComp's, dataset2metadata's. */
  metadata: string | readonly string[];
  /** The subset file to write, and `<out>.json` beside it, which says how. Without it, nothing is written. */
  out?: string;
  /** Take a fraction of a pool of which parts are missing: a pilot, failed shards, other machines' parts. */
  allowPartial?: boolean;
  /** The metadata was completed for this very selection: that its filters dropped samples early is no news. */
  sameRun?: boolean;
  /** Also give the quantiles of each score. */
  explain?: boolean;
  onProgress?: (progress: { step: string; share: number }) => void;
  signal?: AbortSignal;
}

export interface SelectTotals extends Omit<Selection, 'uids'>, SubsetCounts {
  /** The filters as applied, defaults filled in. */
  filters: Filter[];
  /** The subset file. */
  out: string | undefined;
}

/**
 * Selects rows and writes DataComp's sorted `u8,u8` npy. Throws `UsageError`, `MetadataError`, `OutputError`,
 * `CancelledError`.
 */
export async function selectSubset(options: SelectOptions): Promise<SelectTotals> {
  const { signal, strict, explain, onProgress } = options;
  const filters = parseFilters(filtersOf(options));
  const { pool, env, folders, close } = await openSelection(options, filters);
  try {
    const { uids, ...selection } = await selectFrom(pool, {
      ...{ filters, env, signal, strict, explain, onProgress },
    });
    const { measured, notes } = refinedFor(folders, selection.steps);
    pool.notes.push(...notes);
    return await write(options, filters, { pool, uids, measured }, selection);
  } finally {
    await close();
  }
}

/** A pool that filters can be applied to, and what they take from Node. */
export interface OpenSelection {
  pool: Pool;
  env: SelectEnv;
  /** The folders of the pool, as they describe themselves. */
  folders: SelectedFolder[];
  close(): Promise<void>;
}

/** Opens the folders, unless they are such that these filters cannot be applied to them. */
export async function openSelection(
  options: Pick<SelectOptions, 'metadata' | 'join' | 'lid' | 'allowPartial' | 'sameRun' | 'signal'>,
  filters: readonly Filter[],
  scannerOf: (scanner: Scanner) => Scanner = (scanner) => scanner,
): Promise<OpenSelection> {
  const { metadata, join, lid, signal } = options;
  const engine = createEngine({ joins: join });
  const opened = [metadata].flat().map((folder) => openFolder(folder, { readOnly: true }));
  const env = createSelectEnv({ lid, folders: opened, signal });
  const close = async (): Promise<void> => {
    engine.close();
    await env.close();
  };
  try {
    const { findings, folders: checked } = await checkFolders(opened, { embeddings: false, signal });
    const partial = guard(findings, filters, options);
    const pool = await openPool(opened, {
      opened: new Map(
        checked.map(({ folder, shards }) => [folder, new Map(shards.map((one) => [one.shard, one.parquet]))]),
      ),
      scanner: async (files) => scannerOf(await engine.scanner(files)),
    });
    pool.notes.push(...partial, ...engine.notes, ...(await otherLid(pool, lid)));
    const folders = checked.map(({ folder, run, shards }) => ({
      label: folder.label,
      run,
      rows: shards.reduce((sum, { parquet }) => sum + parquet.rows, 0),
    }));
    return { pool, env: { ...env, where: engine.where }, folders, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Says so where languages that are there were told by another model than is asked for: they are used as they are. */
async function otherLid(pool: Pool, lid: LidChoice | undefined): Promise<string[]> {
  if (lid === undefined) return [];
  const { fasttextFingerprint } = await import('../language/languages.ts');
  const asked = await fasttextFingerprint(lid);
  const others = [...pool.stats].filter(([, { groups }]) => {
    const have = groups['language:fasttext'];
    return have !== undefined && have !== asked;
  });
  if (others.length === 0) return [];
  return [
    `lang_fasttext is there and was told by another model than --lid ${lid} (${others[0][0].name}): it is used as it is`,
  ];
}

/** Writes the subset and what says how it was made, where it is to be written. */
async function write(
  { out, join, lid, strict = false, multiset = false }: SelectOptions,
  filters: Filter[],
  { pool, uids, measured }: { pool: Pool; uids: Uids; measured: NonNullable<SubsetRecord['refined']> },
  selection: Omit<Selection, 'uids'>,
): Promise<SelectTotals> {
  const { keptRows, keptUids, repeats } = selection;
  const written = multiset ? keptRows : keptUids;
  const totals = { ...selection, filters, out, written, distinct: keptUids, repeats };
  if (out === undefined) return totals;
  const folder = openFolder(dirname(out));
  await writeSubset(folder, basename(out), uids, { multiset });
  const record = encodeRecord({
    shardsieve: VERSION,
    recipe: {
      ...(lid === undefined ? {} : { annotate: { lid } }),
      ...(join === undefined ? {} : { join }),
      ...{ filters, strict, repeats: multiset ? 'keep' : 'drop' },
    },
    input: { ...(await describe(pool.files)), ...filteredBy(pool) },
    ...(await describeNamed(filters)),
    ...(join === undefined ? {} : { joined: await describeJoins(join) }),
    ...(measured.length === 0 ? {} : { refined: measured }),
    steps: selection.steps,
    kept: { rows: keptRows, uids: keptUids, repeats },
    written,
  });
  await writeFile(folder, recordName(basename(out)), record);
  return totals;
}

/** Samples that were dropped before they were scored, by filter, where there are some. */
function filteredBy({ stats }: Pool): Pick<SubsetRecord['input'], 'filtered'> {
  const filtered: { [filter: string]: number } = {};
  for (const one of stats.values()) {
    for (const [name, n] of Object.entries(one.filtered ?? {})) filtered[name] = (filtered[name] ?? 0) + n;
  }
  return Object.keys(filtered).length === 0 ? {} : { filtered };
}

async function describe(files: readonly PoolFile[]) {
  const rows = files.reduce((sum, file) => sum + file.rows, 0);
  return { rows, files: files.length, fingerprint: await filesFingerprint(files) };
}

async function describeJoins(paths: readonly string[]) {
  const { openJoins } = await import('../duckdb/joins.ts');
  return Promise.all((await openJoins(paths)).map(({ files }) => describe(files)));
}

async function describeNamed(filters: readonly Filter[]): Promise<Pick<SubsetRecord, 'named'>> {
  const named: NonNullable<SubsetRecord['named']>[number][] = [];
  for (const path of filesOf(filters)) {
    for (const file of await namesIn(path)) named.push({ file, sha256: await sha256File(file) });
  }
  return named.length === 0 ? {} : { named };
}

/** `subset.npy` is described by `subset.json`. */
export function recordName(subset: string): string {
  return `${subset.replace(/\.npy$/, '')}.json`;
}

/** The filters of a choice, the score's bound last. */
export function filtersOf({ filters = [], threshold, fraction, column }: FilterChoice): FilterInput[] {
  if (threshold === undefined && fraction === undefined) return [...filters];
  return [...filters, { score: { column, threshold, fraction } }];
}
