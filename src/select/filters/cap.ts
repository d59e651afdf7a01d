import { domainOf } from '../../safety/blocklist.ts';
import { draw } from '../draw.ts';
import { RowMask } from '../mask.ts';
import type { Pool } from '../pool.ts';
import type { ColumnRequest } from '../scan.ts';
import type { Params } from '../spec.ts';
import type { PoolFilter } from '../types.ts';

/**
 * At most so many rows of each domain, or of each value of a column, of the rows that came in: those with the
 * highest values of `prefer`, or drawn by seed and uid. Ties are broken by the order of the pool. Rows without a
 * value stay. 12 bytes a row, and the names.
 */
export function capFilter(params: Params<'cap'>, pool: Pool): PoolFilter {
  const { by, at_most, prefer, seed } = params;
  const column = by === 'domain' ? 'url' : by;
  pool.require(column);
  const rank: ColumnRequest =
    prefer === undefined ? { name: 'uid', as: 'uid' } : { name: prefer, as: 'number' };
  pool.require(rank.name);
  const groupOf = by === 'domain' ? domainOf : (value: string) => value;
  return {
    kind: 'pool',
    async judge(pool, { rest, signal }) {
      const keep = new RowMask(pool.rows);
      const groups = new Map<string, number>();
      const counts: number[] = [];
      const members = new Int32Array(pool.rows).fill(-1);
      const ranks = new Float64Array(pool.rows);
      for await (const batch of pool.scan([{ name: column, as: 'text' }, rank], { only: rest, signal })) {
        const values = batch.texts(column);
        const words = prefer === undefined ? batch.uids() : undefined;
        const numbers = prefer === undefined ? undefined : batch.numbers(prefer);
        for (let row = 0; row < batch.rows; row++) {
          const place = batch.start + row;
          if (!rest.get(place)) continue;
          const value = values[row];
          const name = value === null ? null : groupOf(value);
          if (name === null) {
            keep.set(place);
            continue;
          }
          const group = groups.get(name) ?? groups.size;
          if (group === groups.size) groups.set(name, group);
          counts[group] = (counts[group] ?? 0) + 1;
          members[place] = group;
          ranks[place] = numbers ? rankOf(numbers[row]) : draw(seed, words!, row);
        }
      }
      keepHighest(members, ranks, counts, at_most, keep);
      const over = counts.filter((count) => count > at_most).length;
      return {
        keep,
        unjudged: new RowMask(pool.rows),
        found: { column: by, values: groups.size, capped: over },
      };
    },
  };
}

/** A row without a value to prefer it by comes last. */
function rankOf(value: number): number {
  return Number.isNaN(value) ? Number.NEGATIVE_INFINITY : value;
}

/** Keeps groups that fit whole, and of the others the `most` highest. */
function keepHighest(
  members: Int32Array,
  ranks: Float64Array,
  counts: readonly number[],
  most: number,
  keep: RowMask,
): void {
  const crowded = new Map<number, number[]>();
  for (let row = 0; row < members.length; row++) {
    const group = members[row];
    if (group < 0) continue;
    if (counts[group] <= most) keep.set(row);
    else {
      const rows = crowded.get(group) ?? [];
      if (rows.length === 0) crowded.set(group, rows);
      rows.push(row);
    }
  }
  for (const rows of crowded.values()) {
    rows.sort((a, b) => ranks[b] - ranks[a] || a - b);
    for (const row of rows.slice(0, most)) keep.set(row);
  }
}
