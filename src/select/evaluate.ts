import { CancelledError, MetadataError } from '../errors.ts';
import { compile, type Plan } from './compile.ts';
import type { SelectEnv } from './env.ts';
import { askedOnce } from './filters/language.ts';
import { RowMask } from './mask.ts';
import type { Pool } from './pool.ts';
import type { ColumnRequest } from './scan.ts';
import type { Filter } from './spec.ts';
import { type Found, KEEP, type RowFilter, UNJUDGED, type Verdict } from './types.ts';

/** What one filter did to the rows that the filters before left. */
export interface Step {
  label: string;
  /** Rows before and after. `before = after + dropped + unjudged`. */
  before: number;
  after: number;
  /** Rows before that could not be judged; kept out. */
  unjudged: number;
  /**
   * Rows of the whole pool that it says to keep; of those it saw, for a filter of `of: rest` and the like, and (unless
   * `complete`) for one of captions after others in sequence.
   */
  alone: number;
  /** What fractions became, and the like: of this filter and the filters in it. */
  found: Found[];
  /** Of a preset and of `sequence`: what its parts did, one after another. */
  parts?: Step[];
}

export interface Outcome {
  kept: RowMask;
  steps: Step[];
  /** Rows kept by two steps both, `[i][j]`; the diagonal is `alone`. */
  overlap: number[][];
}

export interface EvaluateOptions {
  /** A row that cannot be judged is an error. */
  strict?: boolean;
  /** Each filter sees the whole pool, so that all of `alone` and `overlap` is of it. Costs reading captions in vain. */
  complete?: boolean;
  signal?: AbortSignal;
  onProgress?: (progress: { step: string; share: number }) => void;
}

/**
 * Applies filters in order. What judges rows one by one (thresholds, captions, sizes, languages) is answered for
 * all filters in one reading of the columns they need; the others run in their turn. Captions cost more than all other
 * columns: in a sequence that begins with other filters, they are read in their turn, for the rows that are left.
 *
 * In `all` and `any` every part sees the rows that came in; in `sequence`, as at the top, each sees what the one
 * before left. `all` does not judge a row that no part drops and some part cannot judge; `any`, one that no part
 * keeps and some part cannot judge; `not` turns keep and drop around.
 */
export async function evaluate(
  pool: Pool,
  filters: readonly Filter[],
  env: SelectEnv,
  options: EvaluateOptions = {},
): Promise<Outcome> {
  const once = env.languages === undefined ? env : { ...env, languages: askedOnce(env.languages) };
  const plans: Plan[] = [];
  for (const filter of filters) plans.push(await compile(filter, pool, once));
  const filtersOfRows = plans.flatMap(rowFilters);
  const late = options.complete ? [] : lateFilters(plans);
  const early = filtersOfRows.filter((filter) => !late.includes(filter));
  const context: Context = { pool, options, late, rows: await judgeRows(pool, early, options) };
  const kept = new RowMask(pool.rows, true);
  const steps: Step[] = [];
  const alone: RowMask[] = [];
  for (const plan of plans) {
    const { step, verdict } = await take(plan, kept, context);
    steps.push(step);
    alone.push(verdict.keep);
  }
  return { kept, steps, overlap: alone.map((a) => alone.map((b) => a.countBoth(b))) };
}

interface Context {
  pool: Pool;
  options: EvaluateOptions;
  /** The answers of row filters, which do not depend on what came before. */
  rows: Map<RowFilter, Verdict>;
  /** Row filters that are answered when the first of them has its turn, for the rows that are left then. */
  late: readonly RowFilter[];
}

/** Applies one filter to the rows that are left, and says what it did. */
async function take(
  plan: Plan,
  rest: RowMask,
  context: Context,
): Promise<{ step: Step; verdict: Judgement }> {
  const { label } = plan;
  const { pool, options } = context;
  const before = rest.count();
  const found: Found[] = [];
  const verdict = await judge(plan, rest, context, found);
  const unjudged = rest.countBoth(verdict.unjudged);
  if (options.strict && unjudged > 0) throw unjudgedError(pool, label, verdict, rest, unjudged);
  rest.and(verdict.keep);
  const { parts } = verdict;
  const step = { label, before, after: rest.count(), unjudged, alone: verdict.keep.count(), found };
  return { step: parts === undefined ? step : { ...step, parts }, verdict };
}

interface Judgement extends Verdict {
  parts?: Step[];
}

async function judge(plan: Plan, rest: RowMask, context: Context, found: Found[]): Promise<Judgement> {
  const { pool, options } = context;
  switch (plan.kind) {
    case 'leaf': {
      const { filter, label } = plan;
      if (filter.kind === 'rows') {
        if (filter.found) found.push(filter.found);
        if (!context.rows.has(filter)) {
          const answers = await judgeRows(pool, context.late, options, rest);
          for (const [one, verdict] of answers) context.rows.set(one, verdict);
        }
        return context.rows.get(filter)!;
      }
      if (options.signal?.aborted) throw new CancelledError();
      const judged = await filter.judge(pool, {
        rest,
        signal: options.signal,
        onProgress: (share) => options.onProgress?.({ step: label, share }),
      });
      if (judged.found) found.push(judged.found);
      return judged;
    }
    case 'not': {
      const { keep, unjudged } = await judge(plan.part, rest, context, found);
      const other = keep.inverse().andNot(unjudged);
      return { keep: judgesAll(plan.part) ? other : other.and(rest), unjudged };
    }
    case 'all': {
      const keep = new RowMask(pool.rows, true);
      // Rows that no part drops.
      const open = new RowMask(pool.rows, true);
      for (const part of plan.parts) {
        const verdict = await judge(part, rest, context, found);
        keep.and(verdict.keep);
        open.and(verdict.keep.clone().or(verdict.unjudged));
      }
      return { keep, unjudged: open.andNot(keep) };
    }
    case 'any': {
      const keep = new RowMask(pool.rows);
      const unjudged = new RowMask(pool.rows);
      for (const part of plan.parts) {
        const verdict = await judge(part, rest, context, found);
        keep.or(verdict.keep);
        unjudged.or(verdict.unjudged);
      }
      return { keep, unjudged: unjudged.andNot(keep) };
    }
    case 'sequence': {
      const left = rest.clone();
      // What the parts keep each by itself: of the whole pool, where they judge all of it.
      const keep = new RowMask(pool.rows, true);
      const unjudged = new RowMask(pool.rows);
      const parts: Step[] = [];
      for (const part of plan.parts) {
        const came = left.clone();
        const { step, verdict } = await take(part, left, context);
        keep.and(verdict.keep);
        unjudged.or(came.and(verdict.unjudged));
        found.push(...step.found);
        parts.push(step);
      }
      return { keep, unjudged, parts };
    }
  }
}

function judgesAll(plan: Plan): boolean {
  if (plan.kind === 'leaf') return plan.filter.kind === 'rows' || plan.filter.judgesAll === true;
  return plan.kind === 'not' ? judgesAll(plan.part) : plan.parts.every(judgesAll);
}

function rowFilters(plan: Plan): RowFilter[] {
  if (plan.kind === 'leaf') return plan.filter.kind === 'rows' ? [plan.filter] : [];
  return plan.kind === 'not' ? rowFilters(plan.part) : plan.parts.flatMap(rowFilters);
}

/**
 * Row filters of captions that only see what others left: those in sequences (of sequences), where the rows that are
 * left only become fewer, after a filter that reads no captions. In `all`, `any` and `not` every part sees all rows.
 */
function lateFilters(plans: readonly Plan[]): RowFilter[] {
  const steps = plans.flatMap(stepsOf);
  const readers = steps.flatMap((step) => (step !== undefined && readsText(step) ? [step] : []));
  return readers[0] === steps[0] ? [] : readers;
}

/** The filters of a sequence in order; `undefined` for what is not a row filter by itself. */
function stepsOf(plan: Plan): (RowFilter | undefined)[] {
  if (plan.kind === 'sequence') return plan.parts.flatMap(stepsOf);
  return [plan.kind === 'leaf' && plan.filter.kind === 'rows' ? plan.filter : undefined];
}

const readsText = ({ requests }: RowFilter) =>
  requests.some(({ name, as }) => as === 'text' && name === 'text');

/** Answers row filters in one scan; where `only` is given, for its rows. */
async function judgeRows(
  pool: Pool,
  filters: readonly RowFilter[],
  { signal, onProgress }: EvaluateOptions,
  only?: RowMask,
): Promise<Map<RowFilter, Verdict>> {
  const answers = new Map<RowFilter, Verdict>(
    filters.map((filter) => [filter, { keep: new RowMask(pool.rows), unjudged: new RowMask(pool.rows) }]),
  );
  if (filters.length === 0) return answers;
  const requests = new Map<string, ColumnRequest>();
  for (const request of filters.flatMap((filter) => filter.requests)) {
    requests.set(`${request.as}:${request.name}`, request);
  }
  for await (const batch of pool.scan([...requests.values()], { signal, only })) {
    const verdicts = new Uint8Array(batch.rows);
    for (const [filter, { keep, unjudged }] of answers) {
      verdicts.fill(0);
      await filter.judge(batch, verdicts);
      for (let row = 0; row < batch.rows; row++) {
        if (verdicts[row] === KEEP) keep.set(batch.start + row);
        else if (verdicts[row] === UNJUDGED) unjudged.set(batch.start + row);
      }
    }
    onProgress?.({
      step: only === undefined ? 'reading columns' : 'reading captions',
      share: (batch.start + batch.rows) / pool.rows,
    });
  }
  // Values of other rows may be anything.
  if (only !== undefined) {
    for (const { keep, unjudged } of answers.values()) {
      keep.and(only);
      unjudged.and(only);
    }
  }
  return answers;
}

function unjudgedError(
  pool: Pool,
  label: string,
  { unjudged }: Verdict,
  rest: RowMask,
  count: number,
): MetadataError {
  const row = unjudged.clone().and(rest).first();
  const file = pool.files.findLast(({ start }) => start <= row)!;
  return new MetadataError(`${count} rows cannot be judged by ${label}, row ${row - file.start} first`, {
    file: file.name,
    hint: 'Without --strict such rows are counted and kept out',
  });
}
