import { UsageError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import type { ParquetFile } from '../metadata/parquet-read.ts';
import { chooseColumn, incomplete, openMetadata, unvouched } from './folders.ts';
import {
  copyScores,
  fractionThreshold,
  inType,
  parseUids,
  readScores,
  type Scores,
  scoreType,
} from './scores.ts';
import { countDistinct, sortUids, UidList, type Uids } from './uids.ts';

export interface SelectOptions {
  /** The score to select by: a column, or a slug. Default: the only `clip_…_similarity_score` there is. */
  column?: string;
  /** Keep rows with a score of at least this, compared in the column's own type. */
  threshold?: number;
  /** Keep this part of the rows, in (0, 1]: those with the highest scores, and ties with the last of them. */
  fraction?: number;
  onIncomplete?: 'error' | 'skip';
}

export interface Selection {
  /** Sorted, repeats included. */
  uids: Uids;
  column: string;
  /** Types of the column in the files; two where the files disagree. */
  types: ('FLOAT' | 'DOUBLE')[];
  /** What rows were compared with, before it is rounded to the column's type; −∞ where all are kept. */
  threshold: number;
  /** Rows read. */
  total: number;
  /** Rows whose score is NaN or null; never kept. */
  nan: number;
  keptRows: number;
  /** Different uids among them. */
  keptUids: number;
  /** `keptRows − keptUids`. */
  repeats: number;
  notes: string[];
}

/**
 * Selects rows of metadata by a score, as DataComp's `clip_score` baseline does.
 *
 * - A threshold is rounded to each file's column type first: the float32 nearest to 0.24 lies below 0.24, so a
 *   comparison in double would lose rows that score 0.24 (and 0.26, 0.29, 0.32, 0.7).
 * - A fraction f of n rows takes the score at place `int(n · f)` of the descending order as the threshold, so
 *   one row more than n · f is kept, and every tie with it. f = 1 keeps all (DataComp's index is out of range).
 *   A NaN sorts below all numbers; where the place falls on one, every number is kept.
 *
 * Memory: a threshold costs the kept uids, 16 bytes each; a fraction also holds all scores twice.
 * Throws `UsageError` or `MetadataError`.
 */
export async function selectSubset(folders: readonly Folder[], options: SelectOptions): Promise<Selection> {
  const { threshold, fraction } = options;
  if ((threshold === undefined) === (fraction === undefined)) {
    throw new UsageError('give either a threshold or a fraction');
  }
  if (threshold !== undefined && Number.isNaN(threshold))
    throw new UsageError('the threshold is not a number');
  if (fraction !== undefined && !(fraction > 0 && fraction <= 1)) {
    throw new UsageError(`the fraction must be above 0 and at most 1, not ${fraction}`);
  }
  const { files, own, notes } = await openMetadata(folders, options);
  const column = chooseColumn(files, options.column);
  const halves = await unvouched(own, column);
  if (halves.length > 0) throw incomplete(`column ${column}`, halves);
  const types = [...new Set(files.map((file) => scoreType(file, column)))].sort();
  if (types.length > 1) {
    notes.push(`${column} is float32 in some files and float64 in others; each is compared in its own type`);
  }

  const known = fraction === undefined ? undefined : await allScores(files, column);
  const cut = known ? fractionThreshold(known, fraction!) : threshold!;
  const kept = new UidList();
  let total = 0;
  let nan = 0;
  for (const [i, file] of files.entries()) {
    const least = inType(cut, scoreType(file, column));
    for await (const { start, rows, chunks } of file.groups(known ? ['uid'] : ['uid', column], {
      bytes: true,
    })) {
      const words = new Uint32Array(4 * rows);
      parseUids(chunks.get('uid')!, words, { file: file.name, start });
      const scores = known
        ? known[i].subarray(start, start + rows)
        : groupScores(file, column, rows, chunks.get(column)!);
      for (let row = 0; row < rows; row++) {
        if (scores[row] >= least) kept.push(words, row);
        else if (Number.isNaN(scores[row])) nan++;
      }
    }
    total += file.rows;
  }
  const uids = sortUids(kept.take());
  const keptUids = countDistinct(uids);
  return {
    uids,
    column,
    types,
    threshold: cut,
    total,
    nan,
    keptRows: kept.length,
    keptUids,
    repeats: kept.length - keptUids,
    notes,
  };
}

function groupScores(
  file: ParquetFile,
  column: string,
  rows: number,
  pieces: readonly ArrayLike<unknown>[],
): Scores {
  const scores = new (scoreType(file, column) === 'FLOAT' ? Float32Array : Float64Array)(rows);
  copyScores(pieces, scores, 0);
  return scores;
}

async function allScores(files: readonly ParquetFile[], column: string): Promise<Scores[]> {
  const scores: Scores[] = [];
  for (const file of files) scores.push(await readScores(file, column));
  return scores;
}
