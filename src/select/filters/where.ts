import { UsageError } from '../../errors.ts';
import type { SelectEnv } from '../env.ts';
import type { PoolFilter } from '../types.ts';

/** A SQL predicate over the columns, judged by the platform's engine. */
export function whereFilter(predicate: string, { where }: SelectEnv): PoolFilter {
  if (where === undefined) throw new UsageError('SQL predicates (where) need DuckDB, which is not here');
  return { kind: 'pool', judgesAll: true, judge: (pool, { signal }) => where.test(pool, predicate, signal) };
}
