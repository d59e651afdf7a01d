import { PUNSAFE_COLUMN, TAG_COLUMN, TAG_THRESHOLDS, TAGS } from '../../annotate/punsafe.ts';
import { MetadataError, UsageError } from '../../errors.ts';
import type { Pool } from '../pool.ts';
import type { Params } from '../spec.ts';
import { DROP, KEEP, type RowFilter, UNJUDGED } from '../types.ts';

/**
 * The safe subset: rows tagged `UNLIKELY`, or those of which `punsafe` is no more than a bound. Where there are no tags,
 * as in LAION's own metadata, `punsafe` below the default threshold stands for the tag. What no classifier has judged is
 * not judged, and so kept out.
 */
export function safeFilter({ max_punsafe }: Params<'safe'>, pool: Pool): RowFilter {
  if (max_punsafe === undefined && (pool.has(TAG_COLUMN) || !pool.has(PUNSAFE_COLUMN))) {
    requireMade(pool, TAG_COLUMN, 'nsfwjs,laion-l14');
    return tagFilter();
  }
  requireMade(pool, PUNSAFE_COLUMN, 'nsfwjs,laion-l14');
  const bound = max_punsafe ?? TAG_THRESHOLDS.unsure;
  return {
    kind: 'rows',
    requests: [{ name: PUNSAFE_COLUMN, as: 'number' }],
    found: { column: PUNSAFE_COLUMN, threshold: bound },
    judge(batch, verdicts) {
      const values = batch.numbers(PUNSAFE_COLUMN);
      // In the column's own type, as a score is compared.
      const edge = values instanceof Float32Array ? Math.fround(bound) : bound;
      for (let row = 0; row < batch.rows; row++) {
        const value = values[row];
        if (Number.isNaN(value)) verdicts[row] = UNJUDGED;
        else verdicts[row] = value < edge || (max_punsafe !== undefined && value === edge) ? KEEP : DROP;
      }
    },
  };
}

function tagFilter(): RowFilter {
  const tags: ReadonlySet<string> = new Set(TAGS);
  return {
    kind: 'rows',
    requests: [{ name: TAG_COLUMN, as: 'text' }],
    found: { column: TAG_COLUMN },
    judge(batch, verdicts) {
      const values = batch.texts(TAG_COLUMN);
      for (let row = 0; row < batch.rows; row++) {
        const tag = values[row];
        if (tag === null || !tags.has(tag)) verdicts[row] = UNJUDGED;
        else verdicts[row] = tag === TAGS[0] ? KEEP : DROP;
      }
    },
  };
}

/** `require`, saying how a safety column is made. */
export function requireMade(pool: Pool, column: string, safety: string): void {
  const without = pool.files.filter((file) => pool.typeOf(file, column) === undefined);
  if (without.length === 0) {
    pool.require(column);
    return;
  }
  const shards = /nsfwjs|hashes/.test(safety) ? ' --shards SHARDS' : '';
  const hint = `Add it: shardsieve annotate METADATA --safety ${safety}${shards}; with --out DIR where Shardsieve did not write the metadata`;
  if (without.length === pool.files.length) throw new UsageError(`no column ${column}`, { column, hint });
  throw new MetadataError(
    `${without.length} of ${pool.files.length} files have no column ${column}, ${without[0].name} first`,
    { column, hint },
  );
}
