/** Into which groups rows fall: by language, by size, by the length of the caption, by any column of names. */
import { UsageError } from '../errors.ts';
import { codePoints } from '../select/captions.ts';
import type { Pool } from '../select/pool.ts';
import type { Batch, ColumnRequest } from '../select/scan.ts';
import { UNJUDGED } from './states.ts';

/** Different values that are counted apart; a column of more is no grouping. */
const MAX_GROUPS = 10_000;
const MERGED = '(all others)';
const NONE = '(none)';

/** Smaller side in pixels; `basic_filter` begins at 200. */
const SIDES = [128, 200, 300, 500, 800, 1200];
/** Code points of a caption, which mean the same length in no two scripts, but more than words do. `basic_filter` begins at 6. */
const LENGTHS = [6, 21, 51, 101, 201];

interface Group {
  rows: number;
  /** By measure: unjudged rows, then removed ones by level. */
  counts: Float64Array;
}

/** One way of dividing the pool, and its counts. */
export class Grouping {
  readonly by: string;
  readonly requests: readonly ColumnRequest[];
  readonly groups = new Map<string, Group>();
  merged = 0;
  readonly #name: (batch: Batch) => (row: number) => string;
  readonly #order: readonly string[] | undefined;
  readonly #measures: number;
  readonly #levels: number;

  constructor(kind: Kind, measures: number, levels: number) {
    this.by = kind.by;
    this.requests = kind.requests;
    this.#name = kind.name;
    this.#order = kind.order;
    this.#measures = measures;
    this.#levels = levels;
  }

  add(batch: Batch, states: readonly Uint8Array[]): void {
    const name = this.#name(batch);
    const width = 1 + this.#levels;
    let last: string | undefined;
    let group: Group | undefined;
    for (let i = 0; i < batch.rows; i++) {
      const value = name(i);
      if (value !== last || group === undefined) {
        group = this.#groupOf(value);
        last = value;
      }
      group.rows++;
      for (let m = 0; m < states.length; m++) {
        const state = states[m][i];
        if (state === 0) continue;
        if (state === UNJUDGED) group.counts[m * width]++;
        else for (let l = 0; l < this.#levels; l++) if ((state >> l) & 1) group.counts[m * width + 1 + l]++;
      }
    }
  }

  /** Buckets in their order, names by rows. */
  sorted(): [string, Group][] {
    const order = this.#order;
    const all = [...this.groups];
    if (order !== undefined) return all.sort(([a], [b]) => order.indexOf(a) - order.indexOf(b));
    return all.sort(([a, x], [b, y]) => Number(a === MERGED) - Number(b === MERGED) || y.rows - x.rows);
  }

  #groupOf(value: string): Group {
    const found = this.groups.get(value);
    if (found !== undefined) return found;
    if (this.groups.size >= MAX_GROUPS && value !== MERGED) {
      this.merged++;
      return this.#groupOf(MERGED);
    }
    const group = { rows: 0, counts: new Float64Array(this.#measures * (1 + this.#levels)) };
    this.groups.set(value, group);
    return group;
  }
}

interface Kind {
  by: string;
  requests: readonly ColumnRequest[];
  name: (batch: Batch) => (row: number) => string;
  /** Of buckets. */
  order?: readonly string[];
}

/**
 * By language, smaller side and caption length where the pool has the columns, and by every column in `asked`. Throws
 * `UsageError` for one that is not there or holds floats.
 */
export function findGroupings(pool: Pool, asked: readonly string[], notes: string[]): Kind[] {
  const kinds: Kind[] = [];
  const language = ['lang_fasttext', 'lang_cld3'].find((name) => pool.has(name));
  if (language !== undefined) kinds.push(named(language, 'text', `language (${language})`));
  else
    notes.push('not by language: no lang_fasttext or lang_cld3; shardsieve annotate --lang fasttext adds it');
  if (pool.has('original_width') && pool.has('original_height')) kinds.push(bySide());
  else notes.push('not by size: no original_width and original_height');
  if (pool.has('text')) kinds.push(byLength());
  else notes.push('not by caption length: no text');
  for (const name of asked) {
    if (OF_SAMPLES.has(name)) {
      throw new UsageError(`rows are not grouped by ${name}: its values are single samples' own`, {
        column: name,
        hint: 'A report names no sample and shows no caption; group by a column that many rows share',
      });
    }
    pool.require(name);
    const types = pool.files.filter(({ rows }) => rows > 0).map((file) => pool.typeOf(file, name) ?? '');
    const as = (['text', 'flag', 'number'] as const).find((kind) =>
      types.every((type) => TYPES[kind].includes(type)),
    );
    if (as === undefined) {
      throw new UsageError(
        `${name} is ${[...new Set(types)].join(' and ')}: rows are grouped by names, by true and false, or by whole numbers`,
        { column: name },
      );
    }
    kinds.push(named(name, as, name));
  }
  return kinds;
}

/** Columns that name samples or hold what they say. */
const OF_SAMPLES = new Set(['uid', 'key', 'url', 'text', 'sha256', 'member_sha256', 'pdq']);
const TYPES = { text: ['BYTE_ARRAY'], flag: ['BOOLEAN'], number: ['INT32', 'INT64'] };

function named(column: string, as: 'text' | 'flag' | 'number', by: string): Kind {
  return {
    by,
    requests: [{ name: column, as }],
    name: (batch) => {
      if (as === 'number') {
        const values = batch.numbers(column);
        return (row) => (Number.isNaN(values[row]) ? NONE : String(values[row]));
      }
      const values = as === 'text' ? batch.texts(column) : batch.flags(column);
      return (row) => String(values[row] ?? NONE);
    },
  };
}

function bySide(): Kind {
  const [width, height] = ['original_width', 'original_height'];
  const names = bucketNames(SIDES, 'px');
  return {
    by: 'smaller side',
    order: [...names, NONE],
    requests: [width, height].map((name) => ({ name, as: 'number' })),
    name: (batch) => {
      const [w, h] = [batch.numbers(width), batch.numbers(height)];
      return (row) => bucketOf(Math.min(w[row], h[row]), SIDES, names);
    },
  };
}

function byLength(): Kind {
  const names = bucketNames(LENGTHS, 'characters');
  return {
    by: 'caption length',
    order: [...names, NONE],
    requests: [{ name: 'text', as: 'text' }],
    name: (batch) => {
      const texts = batch.texts('text');
      return (row) => {
        const text = texts[row];
        return text === null ? NONE : bucketOf(codePoints(text), LENGTHS, names);
      };
    },
  };
}

/** `< 6`, `6–20`, …, `≥ 201`. */
function bucketNames(edges: readonly number[], unit: string): string[] {
  const between = edges.slice(1).map((edge, i) => `${edges[i]}–${edge - 1} ${unit}`);
  return [`under ${edges[0]} ${unit}`, ...between, `${edges[edges.length - 1]} ${unit} and more`];
}

function bucketOf(value: number, edges: readonly number[], names: readonly string[]): string {
  if (Number.isNaN(value)) return NONE;
  const above = edges.findIndex((edge) => value < edge);
  return names[above < 0 ? edges.length : above];
}
