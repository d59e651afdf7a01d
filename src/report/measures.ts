/** Which columns of a pool say how unsafe a row is, and where their thresholds lie. */
import { PUNSAFE_COLUMN, TAG_THRESHOLDS, type UnsafeTerm } from '../annotate/punsafe.ts';
import { UsageError } from '../errors.ts';
import type { Pool } from '../select/pool.ts';
import type { Batch, Numbers } from '../select/scan.ts';

/** More would not fit the bits a row's state is kept in, nor a page. */
export const MAX_LEVELS = 6;
/** Classes of NSFWJS that say a picture is harmless: a threshold on them would remove the wrong rows. */
const HARMLESS = new Set(['nsfw_nsfwjs_neutral', 'nsfw_nsfwjs_drawing']);
const NSFWJS = ['nsfw_nsfwjs_porn', 'nsfw_nsfwjs_hentai'];

/** A column, or a sum of columns. At or above a threshold a row is removed. */
export interface Measure {
  name: string;
  columns: string[];
  /** Whole numbers, such as matched words. */
  isCount: boolean;
  /** By the places of the levels. */
  thresholds: number[];
  /** Whether it is set against others: a class of a classifier, or what is made of all, says nothing new. */
  isHead: boolean;
}

export interface Measures {
  levels: string[];
  measures: Measure[];
  notes: string[];
}

/**
 * The measures of a pool: `punsafe`, `nsfw_*` and `safety_*` that hold numbers, or the columns that are asked for.
 * `known` is what `run.json` says of them. Throws `UsageError` where there is none, or one asked for is no number, and what `pool.require` throws.
 */
export function findMeasures(
  pool: Pool,
  asked: { columns?: readonly string[]; thresholds?: readonly number[] },
  known: readonly UnsafeTerm[] = [],
): Measures {
  const notes: string[] = [];
  const columns = asked.columns ?? implied(pool, notes);
  if (columns.length === 0) {
    throw new UsageError('there is no safety column: no punsafe, nsfw_… or safety_… that holds numbers', {
      hint: 'Add some: shardsieve annotate METADATA --safety laion-l14 (or nsfwjs, concepts:FILE, head:FILE), or name others with --column',
    });
  }
  const levels = asked.thresholds?.map(String) ?? Object.keys(TAG_THRESHOLDS);
  const thresholdsOf = (names: readonly string[], isCount: boolean): number[] => {
    if (asked.thresholds !== undefined) return [...asked.thresholds];
    if (isCount) return [1, 1];
    const term =
      known.find((one) => one.columns.toSorted().join() === names.toSorted().join()) ?? TAG_THRESHOLDS;
    return [term.unsure, term.nsfw];
  };
  const isSummed = asked.columns === undefined && NSFWJS.every((name) => columns.includes(name));
  const measures = [...new Set(columns)].map((name): Measure => {
    pool.require(name);
    const isCount = isCountColumn(pool, name);
    const isHead =
      asked.columns !== undefined ||
      !(name === PUNSAFE_COLUMN || (isSummed && name.startsWith('nsfw_nsfwjs_')));
    return { name, columns: [name], isCount, thresholds: thresholdsOf([name], isCount), isHead };
  });
  if (isSummed) {
    const sum = { columns: NSFWJS, isCount: false, thresholds: thresholdsOf(NSFWJS, false), isHead: true };
    measures.push({ name: NSFWJS.join(' + '), ...sum });
  }
  return { levels, measures, notes };
}

function implied(pool: Pool, notes: string[]): string[] {
  const found: string[] = [];
  for (const name of pool.columns()) {
    if (!/^(?:punsafe$|nsfw_|safety_)/.test(name) || HARMLESS.has(name)) continue;
    const there = pool.files.filter((file) => pool.typeOf(file, name) !== undefined);
    if (!there.some((file) => isNumeric(pool.typeOf(file, name)))) continue;
    if (pool.has(name)) found.push(name);
    else
      notes.push(
        `${name} is left out: ${there.length} of ${pool.files.length} files have it whole; annotate the others, or name it with --column to see which`,
      );
  }
  return found.sort((a, b) => Number(b === PUNSAFE_COLUMN) - Number(a === PUNSAFE_COLUMN));
}

function isCountColumn(pool: Pool, name: string): boolean {
  const types = pool.files.filter(({ rows }) => rows > 0).map((file) => pool.typeOf(file, name));
  const other = types.find((type) => !isNumeric(type));
  if (other !== undefined) throw new UsageError(`${name} is ${other}, not a number`, { column: name });
  return types.length > 0 && types.every((type) => type === 'INT32' || type === 'INT64');
}

function isNumeric(type: string | undefined): boolean {
  return type !== undefined && ['FLOAT', 'DOUBLE', 'INT32', 'INT64'].includes(type);
}

/** A measure's values in a batch; NaN where one of its columns has none. Sums are kept in float32, as `punsafe` is. */
export function valuesOf(batch: Batch, { columns }: Measure): Numbers {
  const [first, ...rest] = columns.map((name) => batch.numbers(name));
  if (rest.length === 0) return first;
  return Float32Array.from(first, (value, i) => rest.reduce((sum, other) => sum + other[i], value));
}
