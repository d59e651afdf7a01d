import { AccountingError, ShardsieveError, UsageError } from '../../src/errors.ts';
import { PUNSAFE_GROUP, readRun } from '../../src/metadata/run.ts';
import { failuresAllowed, type MaxFailed } from '../../src/run/outcome.ts';
import { checkTotals, type ScoreTotals } from '../../src/run/totals.ts';
import { filesOf, needingSafety, needingWholePool } from '../../src/select/inspect.ts';
import { parseFilters } from '../../src/select/parse.ts';
import type { Filter } from '../../src/select/spec.ts';
import type { ReshardReport } from '../../src/subset/reshard.ts';
import { openFolder } from '../io/folder.ts';
import { parseSafety, type SafetySpec } from '../safety/specs.ts';
import { namesIn } from '../select/files.ts';
import { type AnnotateOptions, type AnnotateTotals, annotate as annotateFolder } from './annotate.ts';
import { openPlan, type RunPlan } from './plan.ts';
import { checkRefine, type RefineReport, refineScores } from './refine.ts';
import { type ReshardOptions, reshardShards } from './reshard.ts';
import { type ScoreOptions, scoreShards } from './score.ts';
import { filtersOf, type SelectOptions, type SelectTotals, selectSubset } from './select.ts';

export type StepName = 'score' | 'annotate' | 'refine' | 'select' | 'reshard';

/** The steps of one run, each with its own options; those that are absent are left out. */
export interface Steps {
  score?: ScoreOptions;
  /** Columns for each of the folders. */
  annotate?: AnnotateOptions[];
  select?: SelectOptions;
  reshard?: ReshardOptions;
  /** Score also what the filters are known to drop, so that the metadata is of the whole pool. */
  fullMetadata?: boolean;
  /** Which filters run before pictures are decoded; called before anything is scored. */
  onPlan?: (plan: RunPlan) => void;
  /** Go on although a shard failed. */
  allowFailed?: boolean;
  /** Called before each step. */
  onStep?: (step: StepName) => void;
  /** What scoring did, before it is decided whether the run goes on. */
  onScored?: (totals: ScoreTotals) => void;
}

export interface StepTotals {
  score?: ScoreTotals;
  annotate?: AnnotateTotals[];
  refine?: RefineReport[];
  select?: SelectTotals;
  reshard?: ReshardReport;
}

/**
 * A run that stopped before selecting, because shards failed or ended early. What was whole of the latter is in the
 * metadata, as are the other shards.
 */
export class ShardsFailedError extends ShardsieveError {
  readonly totals: ScoreTotals;
  constructor(totals: ScoreTotals, names: readonly string[]) {
    super(
      'shard',
      `${names.length} of the shards failed or ended early: ${names.slice(0, 5).join(', ')}${names.length > 5 ? ', …' : ''}`,
      {
        hint: `Nothing was selected. Mend them and run again, or add ${
          totals.shards.failed.length > 0 ? '--allow-failed' : '--allow-truncated'
        }`,
      },
    );
    this.name = 'ShardsFailedError';
    this.totals = totals;
  }
}

/**
 * Runs steps one after another. What can be known to be wrong is told before the first one. Throws what the steps
 * throw, and `ShardsFailedError` where a shard failed (or ended early, without `allowTruncated`), more steps follow
 * and `allowFailed` is not set.
 */
export async function runSteps(steps: Steps): Promise<StepTotals> {
  const { score, annotate, select, reshard, onStep } = steps;
  await checkSteps(steps);
  const totals: StepTotals = {};
  if (score) {
    onStep?.('score');
    totals.score = await scorePlanned(steps, score);
    steps.onScored?.(totals.score);
    const goesOn = [annotate, score.refine, select, reshard].some((step) => step !== undefined);
    if (goesOn && !steps.allowFailed && tooManyFailed(totals.score, score)) {
      throw new ShardsFailedError(totals.score, failedShards(totals.score, score));
    }
    checkTotals(totals.score);
  }
  if (annotate) {
    onStep?.('annotate');
    totals.annotate = [];
    for (const options of annotate) totals.annotate.push(await annotateFolder(options));
  }
  if (score?.refine) {
    onStep?.('refine');
    totals.refine = await refineScores({ score, select });
  }
  if (select) {
    onStep?.('select');
    totals.select = await selectSubset({ ...select, sameRun: score !== undefined });
  }
  if (reshard) {
    onStep?.('reshard');
    // What failed, or a pilot did not reach, has nothing in the subset.
    const only = totals.score && new Set([...totals.score.shards.done, ...totals.score.shards.reused]);
    totals.reshard = await reshardShards({ ...reshard, ...(only ? { only } : {}) });
    // A subset of the whole is not to be found in a part of the shards.
    const isWhole = reshard.part === undefined || score !== undefined;
    if (totals.select && isWhole) checkFound(totals.reshard);
  }
  return totals;
}

/** Scores what the filters will look at. */
async function scorePlanned(steps: Steps, score: ScoreOptions): Promise<ScoreTotals> {
  const { select, annotate, fullMetadata, onPlan } = steps;
  if (select === undefined) return scoreShards(score);
  const filters = parseFilters(filtersOf(select));
  const { plan, gate, close } = await openPlan({ score, select, annotate, fullMetadata }, filters);
  try {
    onPlan?.(plan);
    return await scoreShards({ ...score, gate });
  } finally {
    await close();
  }
}

async function checkSteps({ score, annotate, select, reshard }: Steps): Promise<void> {
  const safety = [score, ...(annotate ?? [])].flatMap((options) => options?.safety ?? []);
  parseSafety(safety);
  if (score) checkRefine(score, safety);
  if (score && reshard && [score.shards].flat().includes('-')) {
    throw new UsageError('this run reads its shards twice, and stdin can be read once', {
      hint: 'Save the tar to a file first; `score` takes stdin',
    });
  }
  if (!select) return;
  const filters = parseFilters(filtersOf(select));
  for (const file of [...filesOf(filters), ...(select.join ?? [])]) await namesIn(file);
  await checkSafety({ score, annotate, select }, filters);
  const whole = needingWholePool(filters);
  if (score?.part !== undefined && whole.length > 0) {
    throw new UsageError(`a fraction of every part is not the fraction of the whole (${whole.join(', ')})`, {
      hint: 'Score the parts, merge them and select from the whole, or filter the parts by --threshold',
    });
  }
}

/** Specs of `--safety` that `punsafe` is not made of. */
const UNCOUNTED: ReadonlySet<SafetySpec['kind']> = new Set(['hashes', 'words', 'text']);

/** A safe subset of columns that no step makes and that are not there: told before hours of scoring. */
async function checkSafety({ score, annotate, select }: Steps, filters: readonly Filter[]): Promise<void> {
  const needs = needingSafety(filters);
  // Columns that are joined may be anything; other metadata is looked at by selecting.
  if (!score || (select?.join ?? []).length > 0 || !(needs.classifier || needs.hashes)) return;
  const specs = [score, ...(annotate ?? [])].flatMap((options) => parseSafety(options.safety ?? []));
  const { groups = {} } = (await readRun(openFolder(score.out, { readOnly: true }))) ?? {};
  const fail = (what: string, add: string) =>
    new UsageError(`${what}, and nothing here makes it`, { hint: `Add --safety ${add}` });
  if (needs.classifier && !(PUNSAFE_GROUP in groups) && specs.every(({ kind }) => UNCOUNTED.has(kind)))
    throw fail('a safe subset is cut by what a classifier says', 'nsfwjs, laion-l14, concepts or head:FILE');
  if (needs.hashes && !('safety:hashes' in groups) && !specs.some(({ kind }) => kind === 'hashes'))
    throw fail('lists of pictures are compared with hashes of the pictures', 'hashes');
}

function checkFound({ notFound }: ReshardReport): void {
  if (notFound.count === 0) return;
  throw new AccountingError(
    `${notFound.count} uids of the subset were not met in the shards, ${notFound.first.join(', ')} first`,
    { hint: 'The metadata folder holds shards that this run was not given, or the inputs changed meanwhile' },
  );
}

/** Shards that count as failed: those that could not be read, and those that ended early unless that is allowed. */
export function failedShards(totals: ScoreTotals, options: { allowTruncated?: boolean }): string[] {
  const failed = totals.shards.failed.map(({ shard }) => shard);
  return options.allowTruncated ? failed : [...failed, ...totals.shards.truncated];
}

/** Whether more shards failed than `maxFailed` lets, of all that the run was given; without it, whether any did. */
export function tooManyFailed(
  totals: ScoreTotals,
  options: { allowTruncated?: boolean; maxFailed?: MaxFailed },
): boolean {
  const failed = failedShards(totals, options).length;
  const { done, reused, failed: unread, untouched } = totals.shards;
  const shards = done.length + reused.length + unread.length + untouched.length;
  return failed > (options.maxFailed === undefined ? 0 : failuresAllowed(options.maxFailed, shards));
}
