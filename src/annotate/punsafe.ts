/**
 * `punsafe` and `nsfw_tag`: what all classifiers of a folder say together. Made of their columns alone, so it is made
 * again, and nothing is judged again, when one is added.
 */
import { type MetadataFolder, unusedGroups } from '../metadata/folder.ts';
import { PUNSAFE_GROUP, type RunEntry } from '../metadata/run.ts';
import type { Json } from '../metadata/table.ts';
import { fingerprintOf } from './fingerprint.ts';
import type { Annotator, RowAnnotator } from './types.ts';

export const PUNSAFE_COLUMN = 'punsafe';
export const TAG_COLUMN = 'nsfw_tag';
/** LAION-5B's tags, in ascending order. */
export const TAGS = ['UNLIKELY', 'UNSURE', 'NSFW'] as const;
/** Where a classifier names no thresholds: 0.1 is where DataComp cut its pool, 0.5 where LAION's clip-retrieval does. */
export const TAG_THRESHOLDS = { unsure: 0.1, nsfw: 0.5 } as const;

/** One probability that a picture is unsafe: the sum of these columns. */
export interface UnsafeTerm {
  columns: readonly string[];
  /** At or above this, `UNSURE`; at or above `nsfw`, `NSFW`. */
  unsure: number;
  nsfw: number;
}

/** What a group's entry in `run.json` says of how it counts. */
export function unsafeJson(terms: readonly UnsafeTerm[]): { unsafe?: Json } {
  if (terms.length === 0) return {};
  return {
    unsafe: terms.map(({ columns, unsure, nsfw }) => ({ columns: [...columns], unsure, nsfw })),
  };
}

/** The terms of an entry; none where it does not count. */
export function termsOf({ unsafe }: { [field: string]: Json }): UnsafeTerm[] {
  if (!Array.isArray(unsafe)) return [];
  return unsafe.flatMap((term) => {
    if (typeof term !== 'object' || term === null || Array.isArray(term)) return [];
    const { columns, unsure, nsfw } = term;
    if (!Array.isArray(columns) || typeof unsure !== 'number' || typeof nsfw !== 'number') return [];
    return [{ columns: columns.map(String), unsure, nsfw }];
  });
}

/**
 * The derived group for a folder to which `annotators` are added: of all that counts and that some shard of it has, or
 * will have. `undefined` where none of `annotators` counts, and so nothing changes.
 */
export async function punsafeFor(
  there: Pick<MetadataFolder, 'folder' | 'committed' | 'run' | 'copy'>,
  annotators: readonly Annotator[],
): Promise<RowAnnotator | undefined> {
  const mine = new Map(annotators.map(({ group, entry }) => [group, entry]));
  if (![...mine.values()].some((entry) => termsOf(entry).length > 0)) return undefined;
  const have = there.run?.groups ?? there.copy?.groups ?? {};
  const others = Object.keys(have).filter((group) => !mine.has(group) && termsOf(have[group]).length > 0);
  const unused = await unusedGroups(there.folder, there.committed, others);
  for (const group of others) if (!unused.has(group)) mine.set(group, have[group]);
  return punsafeAnnotator(mine);
}

/** `punsafe` is the largest of the terms; null where one of them is not known, for then it could be larger. */
export function punsafeAnnotator(entries: ReadonlyMap<string, RunEntry>): RowAnnotator {
  const groups = [...entries]
    .filter(([, entry]) => termsOf(entry).length > 0)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const terms = groups.flatMap(([, entry]) => termsOf(entry));
  const of = Object.fromEntries(groups.map(([group, entry]) => [group, entry.fingerprint]));
  const fingerprint = fingerprintOf(['punsafe 1', of, terms]);
  const shown = terms.map(({ columns }) => columns.join(' + ')).join(', ');
  return {
    group: PUNSAFE_GROUP,
    fingerprint,
    of: groups.map(([group]) => group),
    needs: terms.flatMap(({ columns }) => columns.map((name) => `column:${name}` as const)),
    entry: {
      fingerprint,
      name: 'punsafe',
      combined: terms.length === 1 ? shown : `the largest of ${shown}`,
      tags: `NSFW where one is at or above its nsfw, UNSURE where one is at or above its unsure, else UNLIKELY`,
      thresholds: terms.map(({ columns, unsure, nsfw }) => ({ columns: [...columns], unsure, nsfw })),
      of,
    },
    schema: [
      { name: PUNSAFE_COLUMN, type: 'float' },
      { name: TAG_COLUMN, type: 'string' },
    ],
    async columns({ rows, numbers }) {
      const { values, tags } = unsafeRows(terms, rows, numbers);
      return [
        { name: PUNSAFE_COLUMN, type: 'float', values },
        { name: TAG_COLUMN, type: 'string', values: tags },
      ];
    },
  };
}

/** What the terms say of each row: the probability, and the tag. Null where a column of a term has no number there. */
export function unsafeRows(
  terms: readonly UnsafeTerm[],
  rows: number,
  numbers?: ReadonlyMap<string, ArrayLike<number | null>>,
): { values: (number | null)[]; tags: ((typeof TAGS)[number] | null)[] } {
  const values = new Array<number | null>(rows).fill(null);
  const tags = new Array<(typeof TAGS)[number] | null>(rows).fill(null);
  const columns = terms.map((term) => term.columns.map((name) => numbers?.get(name)));
  for (let row = 0; row < rows; row++) {
    let largest = 0;
    let tag = 0;
    for (const [t, { unsure, nsfw }] of terms.entries()) {
      let sum = 0;
      for (const column of columns[t]) sum += column?.[row] ?? Number.NaN;
      // NaN stays, whatever comes after it.
      largest = Number.isNaN(sum) || Number.isNaN(largest) ? Number.NaN : Math.max(largest, Math.fround(sum));
      if (Math.fround(sum) >= Math.fround(nsfw)) tag = 2;
      else if (Math.fround(sum) >= Math.fround(unsure)) tag = Math.max(tag, 1);
    }
    if (Number.isNaN(largest)) continue;
    values[row] = Math.min(1, largest);
    tags[row] = TAGS[tag];
  }
  return { values, tags };
}
