/**
 * The subset that fp32 would select, from scores of another precision: those near a threshold are computed again in
 * fp32, and its scores decide among them.
 *
 * Let q be a row's score and s what fp32 makes of it, and let no |s − q| be larger than the band. Where every row that
 * was not computed again lies farther than the band from a threshold t of the mixed scores (s where it is known, else
 * q), it lies on the same side of t by s as by q. So as many rows lie above t, and at or above it, as would by s alone:
 * t is fp32's threshold, whether it was given or is the score at some place of the descending order, and the rows that
 * are kept are fp32's, ties and all. The loop computes again what does not meet this until everything does; a threshold
 * that moves takes the region with it.
 *
 * The band is measured (`refine-band.ts`), on rows that are drawn and on all that are computed again for the
 * threshold's sake; where these make it wider, the loop goes on. It is a measured bound and not a proven one.
 *
 * What is computed follows from the scores, the uids and the filters alone. A run that was stopped goes through the same
 * rounds: the scores that rows had before are in the metadata (`metadata/refined.ts`), and only what is missing of a
 * round is computed.
 */
import { AccountingError, CancelledError, MetadataError } from '../errors.ts';
import { refinedColumn, scoreColumn, unrefinedColumn } from '../metadata/columns.ts';
import { draw } from '../select/draw.ts';
import { RowMask } from '../select/mask.ts';
import type { Pool } from '../select/pool.ts';
import { BAND_FACTOR, coverageOf, largestDifference, sampleSize, smallest } from './refine-band.ts';
import { type RescoreJob, Rescorer } from './rescore.ts';

export interface RefineJob extends RescoreJob {
  /** The metadata: shards that `sources` hold, each with the columns of refining. */
  pool: Pool;
  /** The thresholds at which the filters cut the pool if its rows scored this; in float32, as the column is. */
  thresholds(scores: Float32Array<ArrayBuffer>): Promise<number[]>;
}

/** What refining found; all of it follows from the metadata and the filters, not from how often a run was stopped. */
export interface Refined {
  column: string;
  /** Of fp32, at which the filters cut. */
  thresholds: number[];
  /** Of the pool. */
  rows: number;
  /** Rows that fp32 decides: the drawn ones, and those in the band. */
  refined: number;
  /** Rows drawn to measure the band, their largest difference, and what that says of all rows. */
  sample: { rows: number; seed: number; largest: number; confidence: number; share: number; chance: number };
  /** The largest difference of all rows that fp32 decides. */
  largest: number;
  factor: number;
  /** `factor · largest`; every other row lies farther than this from every threshold. */
  band: number;
}

export interface RefineReport extends Refined {
  /** Rows that this run computed again; the others were there. */
  rescored: number;
  /** Times that rows were taken up because a threshold moved or the band became wider, the first one included. */
  rounds: number;
}

const SEED = 0;

/**
 * Throws `MetadataError` where the metadata is not what it must be, `ShardError` where a shard cannot be read again or
 * changed, `CancelledError`; what was committed stays, and the next run goes on there.
 */
export async function refineScores(job: RefineJob): Promise<RefineReport> {
  const { pool, slug, thresholds, signal } = job;
  const rescorer = new Rescorer(job);
  try {
    const scores = await readScores(pool, slug);
    const found = await refineRows(scores, {
      thresholds,
      rescore: (rows) => rescoreMissing(pool, rescorer, rows, scores.fine),
      signal,
    });
    return { column: scoreColumn(slug), ...found, rescored: rescorer.rows };
  } finally {
    await rescorer.release();
  }
}

/**
 * Refines the scores of several models: one's bound may be a share of what another's leaves, so all of them hold only
 * once a pass computed nothing. It ends, as each pass before knows more rows. The reports are the last pass's, with the
 * rows that all passes computed.
 */
export async function untilSettled<Model>(
  models: readonly Model[],
  refine: (model: Model) => Promise<RefineReport>,
): Promise<RefineReport[]> {
  const rescored = models.map(() => 0);
  for (;;) {
    const reports: RefineReport[] = [];
    for (const model of models) reports.push(await refine(model));
    for (const [i, report] of reports.entries()) rescored[i] += report.rescored;
    if (reports.length <= 1 || reports.every((report) => report.rescored === 0)) {
      return reports.map((report, i) => ({ ...report, rescored: rescored[i] }));
    }
  }
}

export interface RefineRows {
  thresholds: RefineJob['thresholds'];
  /** Puts what fp32 makes of these rows into `fine`, where it is not there yet. */
  rescore(rows: RowMask): Promise<void>;
  signal?: AbortSignal;
}

/** The loop by itself, over scores in memory. */
export async function refineRows(
  scores: RowScores,
  { thresholds: thresholdsOf, rescore, signal }: RefineRows,
): Promise<Omit<RefineReport, 'column' | 'rescored'>> {
  const { before, fine, numbers } = scores;
  const sample = smallest(numbers, sampleSize(before.length));
  const known = sample.clone();
  await rescore(known);
  const drawn = largestDifference(before, fine, sample);
  for (let rounds = 0; ; rounds++) {
    if (signal?.aborted) throw new CancelledError();
    const largest = largestDifference(before, fine, known);
    const band = BAND_FACTOR * largest;
    const mixed = before.map((score, row) => (known.get(row) ? fine[row] : score));
    const thresholds = [...new Set(await thresholdsOf(mixed))].sort((a, b) => a - b);
    const doubtful = inDoubt(scores, known, thresholds, band);
    if (doubtful.first() < 0) {
      const rows = sample.count();
      return {
        thresholds,
        rows: before.length,
        refined: known.count(),
        sample: { rows, seed: SEED, largest: drawn, ...coverageOf(rows) },
        ...{ largest, factor: BAND_FACTOR, band, rounds },
      };
    }
    await rescore(doubtful);
    known.or(doubtful);
  }
}

/** Scores of a pool's rows, in its order. */
export interface RowScores {
  /** As they were before refining. */
  before: Float32Array<ArrayBuffer>;
  /** Of fp32; NaN where it is not known. */
  fine: Float32Array<ArrayBuffer>;
  /** The numbers by which rows are drawn for the sample: those with the smallest. */
  numbers: Float64Array;
}

async function readScores(pool: Pool, slug: string): Promise<RowScores> {
  const [score, refined, unrefined] = [scoreColumn(slug), refinedColumn(slug), unrefinedColumn(slug)];
  for (const column of [score, refined, unrefined]) pool.require(column);
  const before = new Float32Array(pool.rows);
  const fine = new Float32Array(pool.rows).fill(Number.NaN);
  const numbers = new Float64Array(pool.rows);
  const requests = [
    { name: score, as: 'number' },
    { name: refined, as: 'flag' },
    { name: unrefined, as: 'number' },
    { name: 'uid', as: 'uid' },
  ] as const;
  for await (const batch of pool.scan(requests)) {
    const [scores, flags, olds] = [batch.numbers(score), batch.flags(refined), batch.numbers(unrefined)];
    const words = batch.uids();
    for (let i = 0; i < batch.rows; i++) {
      const row = batch.start + i;
      const isRefined = flags[i] === true;
      before[row] = isRefined ? olds[i] : scores[i];
      if (isRefined) fine[row] = scores[i];
      numbers[row] = draw(SEED, words, i);
      if (Number.isNaN(before[row])) {
        throw new MetadataError(`row ${row - batch.file.start} has no score`, {
          file: batch.file.name,
          column: isRefined ? unrefined : score,
          hint: 'Remove the shard’s _stats.json to have it scored again',
        });
      }
    }
  }
  return { before, fine, numbers };
}

/**
 * Rows that fp32 has to decide and does not yet: those within the band of a threshold, and those that an earlier run
 * with other thresholds refined and that turn out to lie on the other side of one.
 */
function inDoubt(
  { before, fine }: RowScores,
  known: RowMask,
  thresholds: readonly number[],
  band: number,
): RowMask {
  const rows = new RowMask(before.length);
  for (let row = 0; row < before.length; row++) {
    if (known.get(row)) continue;
    const [q, s] = [before[row], fine[row]];
    const isOpen = (t: number) => Math.abs(q - t) <= band || (!Number.isNaN(s) && side(s, t) !== side(q, t));
    if (thresholds.some(isOpen)) rows.set(row);
  }
  return rows;
}

/** Above, at, or below. */
function side(score: number, threshold: number): number {
  return Math.sign(score - threshold);
}

/** Computes what is not known of some rows, a shard after another, and writes it into the metadata. */
async function rescoreMissing(
  pool: Pool,
  rescorer: Rescorer,
  rows: RowMask,
  fine: Float32Array,
): Promise<void> {
  const work: { shard: string; start: number; rows: Uint32Array }[] = [];
  for (const { shard, start, rows: count } of pool.files) {
    const missing: number[] = [];
    for (let row = 0; row < count; row++) {
      if (rows.get(start + row) && Number.isNaN(fine[start + row])) missing.push(row);
    }
    if (missing.length > 0) work.push({ shard, start, rows: Uint32Array.from(missing) });
  }
  await rescorer.announce(work);
  for (const { shard, start, rows: places } of work) {
    const scores = await rescorer.rescore(shard, places);
    if (scores.length !== places.length) {
      throw new AccountingError(`${scores.length} scores for ${places.length} rows`, { shard });
    }
    for (const [i, place] of places.entries()) fine[start + place] = scores[i];
  }
}
