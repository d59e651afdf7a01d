/** `--refine`: the subset that fp32 would select, of scores in int8. */
import { annotate } from '../../src/annotate/job.ts';
import { AccountingError, UsageError } from '../../src/errors.ts';
import type { Folder } from '../../src/io/bytes.ts';
import { scoreColumn } from '../../src/metadata/columns.ts';
import { readRun } from '../../src/metadata/run.ts';
import { type RefineReport, refineScores as runRefine, untilSettled } from '../../src/run/refine.ts';
import { type Bounds, boundsOf, refineMarks, refuseJudged } from '../../src/run/refine-plan.ts';
import { recordRefined } from '../../src/run/refine-record.ts';
import type { WantedModel } from '../../src/run/score-job.ts';
import { evaluate } from '../../src/select/evaluate.ts';
import { parseFilters } from '../../src/select/parse.ts';
import { replaceColumn } from '../../src/select/replaced-column.ts';
import { inType } from '../../src/select/scores.ts';
import type { Filter } from '../../src/select/spec.ts';
import { createDecoder } from '../decode/decoder.ts';
import { openFolder } from '../io/folder.ts';
import { gunzipNode } from '../io/gunzip.ts';
import { sha256Hasher } from '../io/hash.ts';
import type { ResolveOptions } from '../models/resolve.ts';
import { parseSafety, type SafetySpec } from '../safety/specs.ts';
import { fastDecodeOf, wantModels } from './models.ts';
import type { ScoreOptions } from './score.ts';
import { openSelection, type SelectOptions } from './select.ts';
import { openPart } from './shards.ts';

export type { RefineReport };

/** Specs of `--safety` that judge embeddings. */
const OF_EMBEDDINGS: ReadonlySet<SafetySpec['kind']> = new Set(['known', 'head', 'concepts']);

/** One score to be refined: its bounds, and the same model in fp32. */
export interface Refining extends Bounds {
  coarse: WantedModel;
  fine: WantedModel;
}

/** Throws `UsageError` where refining makes no sense, whatever the models. Reads nothing. */
export function checkRefine(options: ScoreOptions, safety: readonly string[] = options.safety ?? []): void {
  const { refine, precision = 'fp32', shards, endpoint } = options;
  if (refine === undefined) return;
  // Before the precision: that is the server's, and a hint to add it would be followed by one to leave it out.
  if (endpoint !== undefined) {
    throw new UsageError("--refine scores in two precisions, and a server's model has one", {
      hint: 'Leave --refine out, or score without --endpoint',
    });
  }
  if (precision !== 'int8' && precision !== 'int8-accurate') {
    throw new UsageError(
      precision === 'fp32'
        ? "--refine scores again in fp32 what lies near a threshold, and all of it is fp32's already"
        : `--refine is of int8, not of ${precision}`,
      { hint: 'Add --precision int8, or leave --refine out' },
    );
  }
  if ([shards].flat().includes('-')) {
    throw new UsageError('--refine reads the shards again, and stdin can be read once', {
      hint: 'Save the tar to a file first',
    });
  }
  const judged = safety.filter((text) => parseSafety([text]).some(({ kind }) => OF_EMBEDDINGS.has(kind)));
  refuseJudged(parseFilters(refine), judged);
}

/** What there is to refine of a run's models. Throws `UsageError` where the filters do not allow it. */
export async function refiningOf(
  options: ScoreOptions,
  models: readonly WantedModel[],
  resolving: ResolveOptions,
): Promise<Refining[]> {
  if (options.refine === undefined) return [];
  checkRefine(options);
  const slugs = models.map(({ slug }) => slug);
  const filters = parseFilters(options.refine);
  const found = boundsOf(filters, slugs);
  refuseJudged(filters, await judgedIn(openFolder(options.out, { readOnly: true }), found));
  const refining: Refining[] = [];
  for (const bounds of found) {
    const place = slugs.indexOf(bounds.slug);
    const { fit, threads, batch } = options;
    const fastDecode = fastDecodeOf(models[place]);
    const [fine] = await wantModels(
      {
        models: options.models?.slice(place, place + 1),
        slugs: [bounds.slug],
        fit,
        fastDecode,
        threads,
        batch,
      },
      resolving,
    );
    refining.push({ ...bounds, coarse: models[place], fine });
  }
  return refining;
}

/** Groups of a folder that were made of embeddings of what is to be refined. */
async function judgedIn(folder: Folder, bounds: readonly Bounds[]): Promise<string[]> {
  const { groups = {} } = (await readRun(folder)) ?? {};
  return Object.keys(groups).filter((name) => bounds.some(({ slug }) => groups[name]['embeddings'] === slug));
}

/** The columns that say which rows were refined; `scoreShards` adds them in its pass. */
export function marksOf(refining: readonly Refining[]) {
  return refining.map(({ slug, coarse, fine }) => refineMarks(slug, coarse.entry, fine.entry));
}

export interface RefineOptions {
  /** What was scored; its `refine` are the filters. */
  score: ScoreOptions;
  /** What filters that go by more than scores need. */
  select?: Pick<SelectOptions, 'join' | 'lid'>;
}

/**
 * Scores again in fp32 what lies near the bounds of the filters in `score.refine`, so that they select what they would
 * select if all of it were fp32's. `scoreShards` was called with the same options before. One report for each model.
 *
 * Throws `UsageError`, `ModelError`, `MetadataError`, `ShardError`, `OutputError`, `CancelledError`.
 */
export async function refineScores({ score, select = {} }: RefineOptions): Promise<RefineReport[]> {
  const { signal, caption = 'txt', uid = 'json', carry = [], fit = 'open_clip' } = score;
  const onEvent = score.onEvent ?? (() => {});
  const resolving = {
    signal,
    onNote: (text: string) => onEvent({ type: 'note', text }),
    ...(score.onDownload === undefined ? {} : { onProgress: score.onDownload }),
  };
  const { sources } = await openPart(score);
  const refining = await refiningOf(score, await wantModels(score, resolving), resolving);
  const filters = parseFilters(score.refine ?? []);
  const folder = openFolder(score.out);
  await addMarks(folder, refining, score);
  const refineOne = async (one: Refining): Promise<RefineReport> => {
    const selection = { metadata: score.out, allowPartial: true, signal, ...select };
    const opened = await openSelection(selection, filters);
    try {
      const report = await runRefine({
        ...{ folder, sources, slug: one.slug, fine: one.fine, pool: opened.pool },
        ...{
          decoder: createDecoder({ fastDecode: fastDecodeOf(one.fine) }),
          gunzip: gunzipNode,
          fit,
          pair: { caption, uid, carry: [...carry] },
        },
        ...{ hasher: sha256Hasher, onEvent, signal },
        thresholds: (scores) => thresholdsOf(one, filters, selection, scores),
      });
      await recordRefined(folder, one.slug, report);
      return report;
    } finally {
      await opened.close();
    }
  };
  return untilSettled(refining, refineOne);
}

/** Gives the columns to shards that were scored before anybody wanted to refine. */
async function addMarks(folder: Folder, refining: readonly Refining[], { signal, onEvent }: ScoreOptions) {
  const annotators = marksOf(refining);
  if (annotators.length === 0) return;
  await annotate({
    ...{ folder, annotators, signal },
    onEvent: (event) => event.type === 'note' && onEvent?.(event),
  });
}

/** Where filters cut the pool if its rows scored this, by the rules and the code of selecting. */
async function thresholdsOf(
  { slug, filters: bounds, needsAll }: Bounds,
  filters: readonly Filter[],
  selection: Pick<SelectOptions, 'metadata' | 'join' | 'lid' | 'allowPartial' | 'signal'>,
  scores: Float32Array<ArrayBuffer>,
): Promise<number[]> {
  const column = scoreColumn(slug);
  const { pool, env, close } = await openSelection(selection, filters, (scanner) =>
    replaceColumn(scanner, column, scores),
  );
  try {
    const { signal } = selection;
    const { steps } = await evaluate(pool, needsAll ? filters : bounds, env, { signal });
    const found = steps.flatMap((step) => step.found).filter((one) => one.column === column);
    const thresholds = found.flatMap(({ threshold }) => threshold ?? []);
    if (thresholds.length === 0) throw new AccountingError('no bound was found to refine at', { column });
    return thresholds.map((threshold) => inType(threshold, 'FLOAT'));
  } finally {
    await close();
  }
}
