import { basename, dirname } from 'node:path';
import { termsOf, type UnsafeTerm } from '../../src/annotate/punsafe.ts';
import { UsageError } from '../../src/errors.ts';
import type { Folder } from '../../src/io/bytes.ts';
import { gateNotes, inspectFolder, writeFile } from '../../src/metadata/folder.ts';
import { PUNSAFE_GROUP } from '../../src/metadata/run.ts';
import type { LabelledRows } from '../../src/report/labelled.ts';
import type { ShownExample } from '../../src/report/page/examples.ts';
import { reportPage } from '../../src/report/page/page.ts';
import { type ChosenExamples, safetyReport } from '../../src/report/report.ts';
import type { SafetyReport } from '../../src/report/types.ts';
import { RowMask } from '../../src/select/mask.ts';
import { openPool, type Pool } from '../../src/select/pool.ts';
import { formatUid } from '../../src/uids/uids.ts';
import { readLabels, rowsOfLabels } from '../heads/labels.ts';
import { openFolder } from '../io/folder.ts';
import { openShards } from './shards.ts';

export interface SafetyReportOptions {
  /** One or more metadata folders. */
  metadata: string | readonly string[];
  /** Columns to look at (default: `punsafe`, `nsfw_*` and `safety_*`). */
  columns?: readonly string[];
  /** Thresholds of all of them (default: `unsure` and `nsfw`). */
  thresholds?: readonly number[];
  /** Columns to group by, beside language, size and caption length. */
  by?: readonly string[];
  /** A CSV with `uid` and `label`; `positive` says which label is looked for, where they are not 0 and 1. */
  labels?: string;
  positive?: string;
  /** A folder for `report.json` and `report.html`, or a file of either kind. Without it nothing is written. */
  out?: string;
  /**
   * Also show rows at the edge of the first threshold: captions and, where `shards` has them, pictures. `blurred`
   * pictures keep 12 pixels on their longer side.
   */
  showUnsafe?: 'blurred' | 'clear';
  shards?: string | readonly string[];
  /** Where uids come from in the shards, as `score` takes it. */
  uid?: string;
  onProgress?: (progress: { step: string; share: number }) => void;
  signal?: AbortSignal;
}

/**
 * Reports what thresholds on safety columns cost, and on labelled samples how right they are. Throws `UsageError`,
 * `MetadataError`, `ShardError`, `OutputError`, `CancelledError`.
 */
export async function reportSafety(
  options: SafetyReportOptions,
): Promise<{ report: SafetyReport; written: string[] }> {
  const { metadata, out, labels, positive, showUnsafe, shards, columns, thresholds, by, signal } = options;
  if (shards !== undefined && showUnsafe === undefined)
    throw new UsageError('shards are read to show pictures only', {
      hint: 'Add --show-unsafe, or leave --shards away',
    });
  if (showUnsafe !== undefined && !(out !== undefined && !out.endsWith('.json')))
    throw new UsageError('there is no page to show samples on', {
      hint: 'Add --out DIR or --out report.html',
    });
  if (positive !== undefined && labels === undefined)
    throw new UsageError('a label that is looked for is of a file of labels', {
      hint: 'Add --labels labels.csv',
    });
  const folders = [metadata].flat().map((folder) => openFolder(folder, { readOnly: true }));
  // DuckDB is loaded by what reads metadata, not by every command.
  const { createEngine } = await import('../duckdb/engine.ts');
  const engine = createEngine();
  try {
    const pool = await openPool(folders, { scanner: engine.scanner });
    pool.notes.push(...engine.notes, ...(await gateNotes(folders)));
    const made = [...pool.stats.values()].flatMap(({ groups }) => groups[PUNSAFE_GROUP] ?? []);
    if (new Set(made).size > 1)
      pool.notes.push('punsafe is made of other classifiers in some of these folders: its figures mix them');
    const labelled = labels === undefined ? undefined : await findLabelled(pool, labels, positive, signal);
    const { report, examples } = await safetyReport(pool, {
      ...{ columns, thresholds, by, labelled, signal },
      known: await termsIn(folders),
      examples: showUnsafe !== undefined,
      onProgress: (share) => options.onProgress?.({ step: 'reading metadata', share }),
    });
    const shown = examples && (await readExamples(pool, examples, report, options));
    return { report, written: out === undefined ? [] : await write(out, report, shown) };
  } finally {
    engine.close();
  }
}

/** Of more than two classes, one against the rest. */
async function findLabelled(
  pool: Pool,
  file: string,
  positive: string | undefined,
  signal: AbortSignal | undefined,
): Promise<LabelledRows> {
  const labels = await readLabels(file, positive);
  const { classes } = labels;
  if (classes.length < 2) {
    throw new UsageError(`every label is ${JSON.stringify(classes[0])}: there is nothing to tell apart`, {
      ...{ file, hint: 'Label samples of both kinds' },
    });
  }
  const wanted = classes.length === 2 ? 1 : classes.indexOf(positive ?? '');
  if (wanted < 0) {
    throw new UsageError(`which of ${classes.slice(0, 10).join(', ')} is looked for is not said`, {
      ...{ file, hint: `Add --positive ${classes[0]}; all others count as the rest` },
    });
  }
  const rows = await rowsOfLabels(labels, pool, { file, signal });
  return {
    file,
    positive: classes[wanted],
    rows,
    labels: labels.labels.map((label) => Number(label === wanted)),
  };
}

async function termsIn(folders: readonly Folder[]): Promise<UnsafeTerm[]> {
  const terms: UnsafeTerm[] = [];
  for (const folder of folders) {
    const { run, copy } = await inspectFolder(folder);
    for (const entry of Object.values(run?.groups ?? copy?.groups ?? {})) terms.push(...termsOf(entry));
  }
  return terms;
}

/** Reads what the report is to show: uids and captions of the chosen rows, and their pictures. */
async function readExamples(
  pool: Pool,
  chosen: ChosenExamples,
  report: SafetyReport,
  { shards, uid, showUnsafe, signal }: SafetyReportOptions,
): Promise<ShownExample[][]> {
  const only = new RowMask(pool.rows);
  for (const { rows } of chosen.sets) for (const { row } of rows) only.set(row);
  const found = new Map<number, { uid: string; caption: string | null }>();
  const hasText = pool.has('text');
  const requests = [
    { name: 'uid', as: 'uid' } as const,
    ...(hasText ? [{ name: 'text', as: 'text' } as const] : []),
  ];
  for await (const batch of pool.scan(requests, { only, signal })) {
    const words = batch.uids();
    for (let i = 0; i < batch.rows; i++) {
      if (!only.get(batch.start + i)) continue;
      const caption = hasText ? batch.texts('text')[i] : null;
      found.set(batch.start + i, {
        uid: formatUid(new BigUint64Array(words.slice(4 * i, 4 * i + 4).buffer), 0),
        caption,
      });
    }
  }
  const isClear = showUnsafe === 'clear';
  let pictures = new Map<string, string>();
  if (shards !== undefined && found.size > 0) {
    const uids = new Set([...found.values()].map((row) => row.uid));
    const all = await openShards({ shards });
    // Shardsieve's own metadata files are named after their shards.
    const files = pool.files.filter((file) => only.any(file.start, file.start + file.rows));
    const names = files.every((file) => pool.stats.has(file))
      ? new Set(files.map(({ shard }) => shard))
      : undefined;
    const near = all.filter(({ shard }) => names?.has(shard));
    const { readThumbnails } = await import('../safety/thumbnails.ts');
    pictures = await readThumbnails({ shards: near.length > 0 ? near : all, uids, uid, isClear, signal });
    if (pictures.size < uids.size)
      report.notes.push(
        `${uids.size - pictures.size} of ${uids.size} pictures to show are not in the shards, or cannot be decoded`,
      );
  }
  const shown = chosen.sets.map(({ rows }) =>
    rows.map(({ row, score }): ShownExample => {
      const { uid: own, caption } = found.get(row)!;
      return { uid: own, score, caption, picture: pictures.get(own) };
    }),
  );
  report.examples = {
    ...{ measure: chosen.measure, threshold: chosen.threshold },
    pictures: shards === undefined ? 'none' : isClear ? 'clear' : 'blurred',
    sets: chosen.sets.map(({ title }, s) => ({
      title,
      rows: shown[s].map(({ uid: own, score }) => ({ uid: own, score })),
    })),
  };
  return shown;
}

async function write(
  out: string,
  report: SafetyReport,
  shown: ShownExample[][] | undefined,
): Promise<string[]> {
  const encode = (text: string) => new TextEncoder().encode(text);
  const contents = {
    '.json': () => encode(`${JSON.stringify(report, null, 2)}\n`),
    '.html': () => encode(reportPage(report, shown)),
  };
  const kind = (['.json', '.html'] as const).find((end) => out.endsWith(end));
  const files = kind === undefined ? (['.json', '.html'] as const) : [kind];
  const folder = kind === undefined ? out : dirname(out);
  const names = files.map((end) => (kind === undefined ? `report${end}` : basename(out)));
  for (const [i, end] of files.entries()) await writeFile(openFolder(folder), names[i], contents[end]());
  return names.map((name) => (kind === undefined ? `${out.replace(/\/$/, '')}/${name}` : out));
}
