import { RowMask } from '../mask.ts';
import type { Pool } from '../pool.ts';
import type { Numbers } from '../scan.ts';
import { fractionThreshold, inType } from '../scores.ts';
import type { Params } from '../spec.ts';
import { DROP, type Judged, KEEP, type PoolFilter, type RowFilter, UNJUDGED } from '../types.ts';

/**
 * DataComp's `clip_score` for any column of floats.
 *
 * - A threshold is rounded to each file's column type first: the float32 nearest to 0.24 lies below 0.24, so a
 *   comparison in double would lose rows that score 0.24 (and 0.26, 0.29, 0.32, 0.7).
 * - A fraction f of n rows takes the score at place `int(n · f)` of the descending order as the threshold, so
 *   one row more than n · f is kept, and every tie with it. f = 1 keeps all (DataComp's index is out of range).
 *   A NaN sorts below all numbers; where the place falls on one, every number is kept. `of: pool` takes the
 *   threshold from all rows, whatever the filters before left (as `image_based_intersect_clip_score` does).
 */
export function scoreFilter(params: Params<'score'>, pool: Pool): RowFilter | PoolFilter {
  const column = pool.scoreColumn(params.column);
  const types = new Set(pool.files.map((file) => pool.floatType(file, column)));
  if (types.size > 1) {
    pool.notes.push(
      `${column} is float32 in some files and float64 in others; each is compared in its own type`,
    );
  }
  const { threshold, fraction, of } = params;
  if (threshold !== undefined) return thresholdFilter(pool, column, threshold);
  return {
    kind: 'pool',
    judgesAll: true,
    async judge(pool, { rest, signal }) {
      const scores = await readColumn(pool, column, signal);
      const cut = fractionThreshold(of === 'pool' ? scores : among(scores, rest), fraction!);
      const judged: Judged = {
        keep: new RowMask(pool.rows),
        unjudged: new RowMask(pool.rows),
        found: { column, threshold: cut },
      };
      pool.files.forEach((file, i) => {
        const least = inType(cut, pool.floatType(file, column));
        const values = scores[i];
        for (let row = 0; row < values.length; row++) {
          if (values[row] >= least) judged.keep.set(file.start + row);
          else if (Number.isNaN(values[row])) judged.unjudged.set(file.start + row);
        }
      });
      return judged;
    },
  };
}

function thresholdFilter(pool: Pool, column: string, threshold: number): RowFilter {
  return {
    kind: 'rows',
    requests: [{ name: column, as: 'number' }],
    found: { column, threshold },
    judge(batch, verdicts) {
      const values = batch.numbers(column);
      const least = inType(threshold, pool.floatType(batch.file, column));
      for (let row = 0; row < batch.rows; row++) {
        verdicts[row] = values[row] >= least ? KEEP : Number.isNaN(values[row]) ? UNJUDGED : DROP;
      }
    },
  };
}

/** One column of the whole pool, a file after another, in each file's own type; null is NaN. */
export async function readColumn(pool: Pool, column: string, signal?: AbortSignal): Promise<Numbers[]> {
  const values = pool.files.map((file) =>
    pool.typeOf(file, column) === 'FLOAT' ? new Float32Array(file.rows) : new Float64Array(file.rows),
  );
  const places = new Map(pool.files.map((file, i) => [file, i]));
  for await (const batch of pool.scan([{ name: column, as: 'number' }], { signal })) {
    values[places.get(batch.file)!].set(batch.numbers(column), batch.start - batch.file.start);
  }
  return values;
}

/** The values of the rows in a mask. */
function among(values: readonly Numbers[], mask: RowMask): Numbers[] {
  let start = 0;
  return values.map((part) => {
    const first = start;
    start += part.length;
    return part.filter((_, row) => mask.get(first + row));
  });
}
