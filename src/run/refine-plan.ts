/** What `--refine` is asked to do, decided before anything is scored, and how the metadata says so. */
import type { RowAnnotator } from '../annotate/types.ts';
import { MetadataError, UsageError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import { clipGroup, refinedColumn, refineGroup, scoreColumn, unrefinedColumn } from '../metadata/columns.ts';
import { type RunEntry, readRun } from '../metadata/run.ts';
import { readsPunsafe } from '../select/guard.ts';
import { flatten } from '../select/inspect.ts';
import type { Filter, Params } from '../select/spec.ts';
import { fingerprint } from './fingerprint.ts';
import type { WantedModel } from './score-job.ts';

const VERSION = 1;

/** The bounds on the score of one model, as filters that can be applied by themselves. */
export interface Bounds {
  slug: string;
  filters: Filter[];
  /** Some bound is a share of what the filters before it left: only all filters together say where it lies. */
  needsAll: boolean;
}

/** Filters that go by embeddings, and the field that names whose. */
const BY_EMBEDDINGS = ['negcliploss', 'normsim', 'near_duplicates', 'image_based'];

/**
 * Which scores are to be refined for which bounds. `slugs` are those of the run. Throws `UsageError` where no filter has
 * a bound on one of them, and where a filter goes by more of a refined model than its score at a bound, as what it would
 * say of a row depends on rows that are not fp32's.
 */
export function boundsOf(filters: readonly Filter[], slugs: readonly string[]): Bounds[] {
  const bounds = new Map<string, Bounds>();
  for (const [name, params] of flatten(filters)) {
    if (name !== 'score') continue;
    const score = params as Params<'score'>;
    const slug = slugs.find((one) => isOf(score.column, one, slugs));
    if (slug === undefined) continue;
    const found = bounds.get(slug) ?? { slug, filters: [], needsAll: false };
    found.filters.push({ score: { ...score, column: scoreColumn(slug) } });
    found.needsAll ||= score.fraction !== undefined && score.of === 'rest';
    bounds.set(slug, found);
  }
  if (bounds.size === 0) {
    throw new UsageError(`--refine is for the rows near a bound on the score of ${slugs.join(' or ')}`, {
      hint: 'Add --threshold or --fraction (with --column where there are several models)',
    });
  }
  for (const slug of bounds.keys()) for (const filter of flatten(filters)) refuseOther(filter, slug, slugs);
  return [...bounds.values()];
}

function refuseOther(
  [name, params]: [string, { [field: string]: unknown }],
  slug: string,
  slugs: readonly string[],
): void {
  const column = scoreColumn(slug);
  const refuse = (what: string, hint: string): never => {
    throw new UsageError(`--refine makes ${column} fp32's at its bounds only, and ${what}`, { hint });
  };
  if (
    BY_EMBEDDINGS.includes(name) &&
    (params['slug'] === undefined ? slugs.length === 1 : params['slug'] === slug)
  ) {
    refuse(`${name} goes by all embeddings of ${slug}`, 'Score in fp32, or leave --refine out');
  }
  if (name === 'cap' && (params['prefer'] === column || params['prefer'] === slug)) {
    refuse('cap prefers rows by it', 'Score in fp32, leave --refine out, or prefer by another column');
  }
  const text = name === 'where' ? String(params['where']).toLowerCase() : '';
  if ([column, refinedColumn(slug), unrefinedColumn(slug)].some((one) => text.includes(one))) {
    refuse('a predicate reads it', 'Bound it by a filter: --threshold, or {score: {column, threshold}}');
  }
}

/** The only model's score goes without a name. */
function isOf(column: string | undefined, slug: string, slugs: readonly string[]): boolean {
  return column === undefined ? slugs.length === 1 : column === slug || column === scoreColumn(slug);
}

/** Throws `UsageError` where filters go by what classifiers said of embeddings that are not fp32's. */
export function refuseJudged(filters: readonly Filter[], judged: readonly string[]): void {
  if (judged.length === 0 || !readsPunsafe(filters)) return;
  throw new UsageError(
    `--refine makes the score fp32's, and ${judged.join(', ')} would judge embeddings that are not`,
    { hint: 'Score in fp32, leave --refine out, or take the safe subset by nsfwjs, which looks at pictures' },
  );
}

/** The columns that say which rows were refined: none yet, where a shard has just been scored. */
export function refineMarks(slug: string, coarse: RunEntry, fine: RunEntry): RowAnnotator {
  const entry = {
    fingerprint: fingerprint({
      kind: 'refine',
      version: VERSION,
      of: coarse.fingerprint,
      by: fine.fingerprint,
    }),
    of: coarse.fingerprint,
    by: fine.fingerprint,
    precision: fine['precision'],
  };
  return {
    group: refineGroup(slug),
    fingerprint: entry.fingerprint,
    entry,
    needs: [],
    schema: [
      { name: refinedColumn(slug), type: 'bool' },
      { name: unrefinedColumn(slug), type: 'float' },
    ],
    columns: async ({ rows }) => [
      { name: refinedColumn(slug), type: 'bool', values: Array<boolean>(rows).fill(false) },
      { name: unrefinedColumn(slug), type: 'float', values: Array<null>(rows).fill(null) },
    ],
  };
}

/**
 * Refuses to add scores that are not refined to a folder where some are: nobody would see which shards fp32 decided.
 * Throws `MetadataError`.
 */
export async function refuseUnrefined(
  folder: Folder,
  models: readonly WantedModel[],
  refined: readonly Pick<Bounds, 'slug'>[],
): Promise<void> {
  const { groups = {} } = (await readRun(folder)) ?? {};
  const slug = models
    .map((model) => model.slug)
    .find((one) => refineGroup(one) in groups && refined.every(({ slug }) => slug !== one));
  if (slug === undefined) return;
  throw new MetadataError(
    `${folder.label} holds ${clipGroup(slug)} refined in fp32 near the thresholds of a subset`,
    {
      hint: 'Add --refine, give these scores their own --slug, or write to another --out',
    },
  );
}
