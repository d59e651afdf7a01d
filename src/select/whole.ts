import { parseFilters } from './parse.ts';
import { presetFilters } from './presets.ts';
import type { Filter } from './spec.ts';

/**
 * Filters whose answer for a row depends on which other rows there are, so that a part of the pool gives another
 * answer than the whole: fractions, duplicates, caps, balancing, and the batches of negCLIPLoss. Their names.
 */
export function needingWholePool(filters: readonly Filter[]): string[] {
  const names = filters.flatMap((filter): string[] => {
    if ('not' in filter) return needingWholePool([filter.not]);
    if ('preset' in filter) {
      const inner = needingWholePool(parseFilters(presetFilters(filter.preset)));
      return inner.length > 0 ? [`${filter.preset.name} (${inner.join(', ')})`] : [];
    }
    const [[name, params]] = Object.entries(filter) as [string, unknown][];
    if (Array.isArray(params)) return needingWholePool(params as Filter[]);
    if (['unique', 'cap', 'balance', 'near_duplicates', 'negcliploss'].includes(name)) return [name];
    return (params as { fraction?: number }).fraction === undefined ? [] : [`${name} by fraction`];
  });
  return [...new Set(names)];
}
