import { parseFilters } from './parse.ts';
import { presetFilters } from './presets.ts';
import type { Filter } from './spec.ts';

/** Every filter with what it holds: the parts of `all`, `any`, `sequence`, `not`, and what presets stand for. */
export function* flatten(
  filters: readonly Filter[],
): Generator<[name: string, params: { [field: string]: unknown }]> {
  for (const filter of filters) {
    if ('not' in filter) yield* flatten([filter.not]);
    else if ('preset' in filter) yield* flatten(parseFilters(presetFilters(filter.preset)));
    else {
      const [[name, params]] = Object.entries(filter) as [string, unknown][];
      if (Array.isArray(params)) yield* flatten(params as Filter[]);
      else
        yield [
          name,
          typeof params === 'string' ? { [name]: params } : (params as { [field: string]: unknown }),
        ];
    }
  }
}

/**
 * Filters whose answer for a row depends on which other rows there are, so that a part of the pool gives another
 * answer than the whole: fractions, duplicates, caps, balancing, and the batches of negCLIPLoss. Their names.
 */
export function needingWholePool(filters: readonly Filter[]): string[] {
  const names = new Set<string>();
  for (const [name, params] of flatten(filters)) {
    if (['unique', 'cap', 'balance', 'near_duplicates', 'negcliploss'].includes(name)) names.add(name);
    else if (params['fraction'] !== undefined) names.add(`${name} by fraction`);
  }
  return [...names];
}

/** What of `--safety` filters cannot do without: a classifier for the safe subset, hashes for lists of pictures. */
export function needingSafety(filters: readonly Filter[]): { classifier: boolean; hashes: boolean } {
  const all = [...flatten(filters)];
  return {
    classifier: all.some(([name]) => name === 'safe'),
    hashes: all.some(
      ([name, params]) =>
        name === 'block' && (params['pdq'] !== undefined || params['member_sha256'] !== undefined),
    ),
  };
}

/** Fields that name files, by filter. */
const FILES: { [name: string]: readonly string[] } = {
  block: ['sha256', 'uid', 'url', 'domain', 'pdq', 'member_sha256'],
  balance: ['entries'],
  image_based: ['centroids', 'targets'],
  normsim: ['targets'],
  near_duplicates: ['centroids'],
  subset: ['subset'],
};

/** The files that filters name, so that one that is missing is told before hours of scoring. */
export function filesOf(filters: readonly Filter[]): string[] {
  const files = new Set<string>();
  for (const [name, params] of flatten(filters)) {
    for (const field of FILES[name] ?? []) {
      const file = params[field];
      if (typeof file === 'string') files.add(file);
    }
  }
  return [...files];
}
