import { z } from 'zod';
import type { SelectEnv } from './env.ts';
import { balanceFilter } from './filters/balance.ts';
import { blockFilter } from './filters/block.ts';
import { capFilter } from './filters/cap.ts';
import {
  imageBasedFilter,
  nearDuplicatesFilter,
  negClipLossFilter,
  normSimFilter,
} from './filters/embeddings.ts';
import { languageFilter } from './filters/language.ts';
import { lengthFilter, sizeFilter } from './filters/rows.ts';
import { safeFilter } from './filters/safe.ts';
import { scoreFilter } from './filters/score.ts';
import { subsetFilter } from './filters/subset.ts';
import { textBasedFilter } from './filters/text-based.ts';
import { uniqueFilter } from './filters/unique.ts';
import { whereFilter } from './filters/where.ts';
import { parseFilters } from './parse.ts';
import type { Pool } from './pool.ts';
import { presetFilters } from './presets.ts';
import { FILTERS, type Filter, type LeafFilter } from './spec.ts';
import type { PoolFilter, RowFilter } from './types.ts';

/** Filters bound to a pool: columns chosen, types checked, nothing read yet. */
export type Plan =
  | { kind: 'leaf'; label: string; filter: RowFilter | PoolFilter }
  | { kind: 'all' | 'any' | 'sequence'; label: string; parts: Plan[] }
  | { kind: 'not'; label: string; part: Plan };

/** Throws `UsageError` or `MetadataError` where a filter cannot be applied to this pool. */
export async function compile(filter: Filter, pool: Pool, env: SelectEnv): Promise<Plan> {
  if ('not' in filter) {
    return { kind: 'not', label: labelOf(filter), part: await compile(filter.not, pool, env) };
  }
  if ('preset' in filter) {
    // In sequence, so that what costs most sees only what the cheap parts left; the rows are those of `all`.
    const parts = await compileAll(parseFilters(presetFilters(filter.preset)), pool, env);
    return { kind: 'sequence', label: labelOf(filter), parts };
  }
  const several = async (kind: 'all' | 'any' | 'sequence', filters: readonly Filter[]): Promise<Plan> => {
    return { kind, label: labelOf(filter), parts: await compileAll(filters, pool, env) };
  };
  if ('all' in filter) return several('all', filter.all);
  if ('any' in filter) return several('any', filter.any);
  if ('sequence' in filter) return several('sequence', filter.sequence);
  return { kind: 'leaf', label: labelOf(filter), filter: await leaf(filter, pool, env) };
}

async function compileAll(filters: readonly Filter[], pool: Pool, env: SelectEnv): Promise<Plan[]> {
  const plans: Plan[] = [];
  for (const filter of filters) plans.push(await compile(filter, pool, env));
  return plans;
}

async function leaf(filter: LeafFilter, pool: Pool, env: SelectEnv): Promise<RowFilter | PoolFilter> {
  if ('score' in filter) return scoreFilter(filter.score, pool);
  if ('language' in filter) return languageFilter(filter.language, pool, env);
  if ('caption' in filter) return needing(pool, 'text', () => lengthFilter(filter.caption));
  if ('size' in filter) {
    pool.require('original_width');
    return needing(pool, 'original_height', () => sizeFilter(filter.size));
  }
  if ('text_based' in filter) {
    pool.require('text');
    return textBasedFilter(env);
  }
  if ('where' in filter) return whereFilter(filter.where, env);
  if ('block' in filter) return blockFilter(filter.block, pool, env);
  if ('safe' in filter) return safeFilter(filter.safe, pool);
  if ('unique' in filter) return needing(pool, filter.unique.by, () => uniqueFilter(filter.unique));
  if ('balance' in filter) {
    pool.require('text');
    return balanceFilter(filter.balance, env);
  }
  if ('image_based' in filter) return imageBasedFilter(filter.image_based, pool, env);
  if ('negcliploss' in filter) return negClipLossFilter(filter.negcliploss, pool, env);
  if ('normsim' in filter) return normSimFilter(filter.normsim, pool, env);
  if ('near_duplicates' in filter) return nearDuplicatesFilter(filter.near_duplicates, pool, env);
  if ('cap' in filter) return capFilter(filter.cap, pool);
  return needing(pool, 'uid', () => subsetFilter(filter.subset, env));
}

function needing<T>(pool: Pool, column: string, make: () => T): T {
  pool.require(column);
  return make();
}

function defaultOf(name: string, field: string): unknown {
  const schema = FILTERS[name as keyof typeof FILTERS];
  const fields = 'shape' in schema ? (schema.shape as { [field: string]: unknown }) : {};
  return fields[field] instanceof z.ZodDefault ? fields[field].def.defaultValue : undefined;
}

/** `score fraction 0.3`: a filter in a line, without what is as by default, for funnels. */
export function labelOf(filter: Filter): string {
  if ('preset' in filter) return filter.preset.name;
  if ('not' in filter) return `not ${labelOf(filter.not)}`;
  const severalOf = (kind: string, filters: readonly Filter[]) =>
    `${kind} of ${filters.map(labelOf).join(', ')}`;
  if ('all' in filter) return severalOf('all', filter.all);
  if ('any' in filter) return severalOf('any', filter.any);
  if ('sequence' in filter) return severalOf('sequence', filter.sequence);
  const [[name, params]] = Object.entries(filter);
  if (typeof params === 'string') return `${name} ${params}`;
  const shown = Object.entries(params as { [field: string]: unknown })
    .filter(([field, value]) => value !== undefined && (field === 'is' || value !== defaultOf(name, field)))
    .map(([field, value]) => `${field} ${Array.isArray(value) ? value.join('|') : String(value)}`);
  return [name, ...shown].join(' ');
}
