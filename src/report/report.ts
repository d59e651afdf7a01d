/** What a safe subset costs: thresholds on the safety columns of a pool, counted and set against each other. */
import { TAGS, type UnsafeTerm } from '../annotate/punsafe.ts';
import { UsageError } from '../errors.ts';
import { wilson } from '../safety/heads/train/metrics.ts';
import type { Pool } from '../select/pool.ts';
import { VERSION } from '../version.ts';
import { type Example, Examples } from './examples.ts';
import { type LabelledRows, LabelledValues, reportLabelled } from './labelled.ts';
import { type Measured, measurePool } from './measure.ts';
import { findMeasures, MAX_LEVELS, type Measures } from './measures.ts';
import { cohenKappa, RankCorrelation } from './statistics.ts';
import type {
  AgreementReport,
  GroupReport,
  GroupsReport,
  MeasureReport,
  Removed,
  SafetyReport,
} from './types.ts';

/** Groups of names that are told one by one; the others are told together. */
const SHOWN = 30;
/** Beyond this ratio a group is hit otherwise than the pool: in large pools smaller differences are certain and say nothing. */
const APART = 1.1;

export interface ReportOptions {
  /** Columns to look at instead of all safety columns. */
  columns?: readonly string[];
  /** Thresholds for all of them, ascending, instead of `unsure` and `nsfw`. */
  thresholds?: readonly number[];
  /** Columns to group by, beside language, size and caption length. */
  by?: readonly string[];
  /** What `run.json` says of columns. */
  known?: readonly UnsafeTerm[];
  labelled?: LabelledRows;
  /** Also choose rows to show. */
  examples?: boolean;
  onProgress?: (share: number) => void;
  signal?: AbortSignal;
}

/** Rows to show, by set. The report names none of them. */
export interface ChosenExamples {
  measure: string;
  threshold: number;
  sets: { title: string; rows: Example[] }[];
}

/**
 * Reads the pool once. Throws `UsageError` where there is no safety column or a column asked for is none,
 * `MetadataError`, `CancelledError`.
 */
export async function safetyReport(
  pool: Pool,
  options: ReportOptions = {},
): Promise<{ report: SafetyReport; examples: ChosenExamples | undefined }> {
  const { columns, labelled, onProgress, signal } = options;
  const thresholds = checkThresholds(options.thresholds);
  const found = findMeasures(pool, { columns, thresholds }, options.known);
  if (pool.rows === 0) throw new UsageError('the metadata has no rows');
  const { measures, levels } = found;
  const notes = [...pool.notes, ...found.notes];
  const values = labelled && new LabelledValues(labelled, measures.length);
  const examples = options.examples ? new Examples(0) : undefined;
  const measured = await measurePool(pool, found, {
    by: options.by ?? [],
    watchers: [values ?? [], examples ?? []].flat(),
    ...{ notes, onProgress, signal },
  });
  const reports = measures.map((_, m) => measureReport(found, measured, m));
  const report: SafetyReport = {
    shardsieve: VERSION,
    rows: pool.rows,
    files: pool.files.length,
    main: measures[0].name,
    levels,
    measures: reports,
    tags: tagReport(measured, pool.rows),
    agreement: agreementReport(found, measured),
    groups: groupReports(found, measured, reports),
    labelled: labelled && values ? reportLabelled(labelled, found, values, notes) : null,
    examples: null,
    notes,
  };
  const chosen = examples && {
    measure: report.main,
    threshold: measures[0].thresholds[0],
    sets: examples.sets(),
  };
  return { report, examples: chosen };
}

function checkThresholds(thresholds: readonly number[] | undefined): number[] | undefined {
  if (thresholds === undefined || thresholds.length === 0) return undefined;
  const sorted = [...new Set(thresholds)].sort((a, b) => a - b);
  if (sorted.length > MAX_LEVELS)
    throw new UsageError(`${sorted.length} thresholds are more than a report can show, ${MAX_LEVELS}`);
  return sorted;
}

function removed(count: number, judged: number, threshold: number): Removed {
  return { threshold, removed: count, share: wilson(count, judged) };
}

function measureReport({ measures }: Measures, measured: Measured, m: number): MeasureReport {
  const { name, columns, thresholds } = measures[m];
  const histogram = measured.histograms[m];
  const { judged, unjudged, sum, belowZero, aboveOne } = histogram;
  const grid = histogram.grid(thresholds);
  const counts = histogram.atOrAbove(grid);
  return {
    ...{ name, columns, judged, unjudged, mean: judged > 0 ? sum / judged : null },
    below_zero: belowZero,
    above_one: aboveOne,
    at: thresholds.map((threshold, l) => removed(measured.totals[m][l], judged, threshold)),
    curve: grid.map((threshold, i) => ({
      ...{ threshold, removed: counts[i], passed: judged > 0 ? (judged - counts[i]) / judged : Number.NaN },
    })),
  };
}

/** LAION's tags in their order, rows without one last. */
function tagReport({ tags }: Measured, rows: number): SafetyReport['tags'] {
  if (tags === undefined) return null;
  return [...TAGS, null].map((tag) => ({
    tag,
    rows: tags.get(tag) ?? 0,
    share: (tags.get(tag) ?? 0) / rows,
  }));
}

function agreementReport(
  { measures, levels }: Measures,
  { agreement, sample }: Measured,
): AgreementReport | null {
  const names = agreement.heads.map((place) => measures[place].name);
  if (names.length < 2) return null;
  const ranks = new RankCorrelation(sample);
  const pairs: AgreementReport['pairs'] = [];
  for (let a = 0; a < names.length; a++) {
    for (let b = a + 1; b < names.length; b++) {
      const at = levels.map((_, l) => {
        const { both, onlyA, onlyB, neither } = agreement.pair(a, b, l);
        const kappa = cohenKappa({ both, onlyA, onlyB, neither }) ?? null;
        return { both, only_a: onlyA, only_b: onlyB, neither, kappa };
      });
      const { rows } = agreement.pair(a, b, 0);
      pairs.push({ a: names[a], b: names[b], rows, spearman: ranks.of(a, b) ?? null, at });
    }
  }
  return {
    measures: names,
    sampled: sample[0].length,
    pairs,
    alone: levels.map((_, l) => ({
      any: agreement.any[l],
      by: names.map((measure, h) => {
        const at = h * levels.length + l;
        return { measure, flagged: agreement.flagged[at], alone: agreement.alone[at] };
      }),
    })),
  };
}

function groupReports(
  { measures, levels }: Measures,
  { groupings }: Measured,
  whole: MeasureReport[],
): GroupsReport[] {
  return groupings.map((grouping) => {
    const sorted = grouping.sorted();
    const shown = sorted.slice(0, SHOWN);
    const rest = sorted.slice(SHOWN);
    if (rest.length > 0) {
      const counts = new Float64Array(measures.length * (1 + levels.length));
      for (const [, group] of rest) for (const [i, n] of group.counts.entries()) counts[i] += n;
      shown.push([
        `(${rest.length} more)`,
        { rows: rest.reduce((sum, [, { rows }]) => sum + rows, 0), counts },
      ]);
    }
    const groups = shown.map(
      ([value, { rows, counts }]): GroupReport => ({
        value,
        rows,
        measures: whole.map(({ name, at }, m) => {
          const first = m * (1 + levels.length);
          const unjudged = counts[first];
          return {
            measure: name,
            unjudged,
            at: at.map(({ threshold, share }, l) => {
              const own = removed(counts[first + 1 + l], rows - unjudged, threshold);
              const { low, high } = own.share;
              const against =
                low > share.value * APART ? 'more' : high < share.value / APART ? 'fewer' : 'same';
              return { ...own, against };
            }),
          };
        }),
      }),
    );
    return { by: grouping.by, groups, merged: grouping.merged };
  });
}
