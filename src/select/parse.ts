import type { z } from 'zod';
import { UsageError } from '../errors.ts';
import { guess } from '../nearest.ts';
import { presetFilters } from './presets.ts';
import { FILTER_NAMES, FILTERS, type Filter, type FilterInput, type PresetParams } from './spec.ts';

/**
 * Checks filters and fills in their defaults. `path` says where they stand, for messages (`filters[2].any[0]`).
 * Throws `UsageError` naming the place, and the nearest name where one looks mistyped.
 */
export function parseFilters(filters: readonly (FilterInput | unknown)[], path = 'filters'): Filter[] {
  return filters.map((filter, i) => parseFilter(filter, `${path}[${i}]`));
}

/** One filter; see `parseFilters`. */
export function parseFilter(filter: unknown, path: string): Filter {
  const named = typeof filter === 'string' ? { [filter]: {} } : filter;
  if (
    typeof named !== 'object' ||
    named === null ||
    Array.isArray(named) ||
    Object.keys(named).length !== 1
  ) {
    throw new UsageError(`${path} must be a filter: an object of one field, its name`, {
      hint: `Such as {score: {fraction: 0.3}}; the names are ${FILTER_NAMES.join(', ')}`,
    });
  }
  const [[name, value]] = Object.entries(named as { [name: string]: unknown });
  if (!FILTER_NAMES.includes(name)) {
    throw new UsageError(`${path}: no filter is called ${name}`, {
      hint: `${guess(name, FILTER_NAMES)}The names are ${FILTER_NAMES.join(', ')}`,
    });
  }
  const place = `${path}.${name}`;
  if (name === 'not') return { not: parseFilter(value, place) };
  const schema = FILTERS[name as keyof typeof FILTERS];
  const given = name === 'preset' && typeof value === 'string' ? { name: value } : (value ?? {});
  const checked = check(schema, given, place);
  if (name === 'all' || name === 'any' || name === 'sequence') {
    return { [name]: parseFilters(checked as unknown[], place) } as Filter;
  }
  checkEither(name, checked, place);
  // A preset that lacks its bound or a file is told here, not after hours of scoring.
  if (name === 'preset') parseFilters(presetFilters(checked as PresetParams), place);
  return { [name]: checked } as Filter;
}

/** Filters that need one of two fields, and not both: those that sort rows by a number need a bound, say. */
const EITHER: { [name: string]: readonly [string, string] } = {
  score: ['threshold', 'fraction'],
  negcliploss: ['threshold', 'fraction'],
  normsim: ['threshold', 'fraction'],
  near_duplicates: ['clusters', 'centroids'],
};

function checkEither(name: string, params: unknown, place: string): void {
  if (EITHER[name] === undefined) return;
  const [one, other] = EITHER[name];
  const given = params as { [field: string]: unknown };
  if ((given[one] === undefined) === (given[other] === undefined)) {
    throw new UsageError(`${place}: give either ${one} or ${other}`);
  }
}

/** Checks a value against a schema. Throws `UsageError` with every problem, each with its place. */
export function check<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  path: string,
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => {
    const at = [path, ...issue.path.map(String)].join('.');
    if (issue.code === 'invalid_value') {
      const choices = issue.values.map(String);
      const given = issue.path.reduce<unknown>(
        (inside, key) => (inside as { [key: PropertyKey]: unknown } | undefined)?.[key],
        value,
      );
      const told = given === undefined ? 'it is missing' : `not ${String(given)}`;
      return `${at} must be one of ${choices.join(', ')}; ${told}. ${guess(String(given), choices)}`.trim();
    }
    if (issue.code !== 'unrecognized_keys' || !('shape' in schema) || issue.path.length > 0) {
      return `${at}: ${issue.message}`;
    }
    const known = Object.keys(schema.shape as object);
    const hints = issue.keys.map((key) => guess(key, known)).join('');
    return `${at} has no ${issue.keys.join(', ')}. ${hints}There is ${known.join(', ') || 'nothing to set'}`;
  });
  throw new UsageError(problems.join('; '));
}
