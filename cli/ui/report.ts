import { sumOf } from '../../src/metadata/stats.ts';
import type { ScoreTotals } from '../../src/run/totals.ts';
import type { ReshardReport } from '../../src/subset/reshard.ts';
import type { RefineReport } from '../jobs/refine.ts';
import type { SelectTotals } from '../jobs/select.ts';
import { count, duration, percent, plural, rate } from './format.ts';
import { funnelLines } from './funnel.ts';
import { refineSummary } from './refine-report.ts';

/** What a run did, for machines (`--json`, one object) and for people (lines). */

export function scoreSummary(totals: ScoreTotals, seconds: number) {
  const { seen, scored, skipped, filtered, repeats, passedOver, captionsTruncated, shards, towers } = totals;
  return {
    seen,
    scored,
    skipped,
    ...(sumOf(filtered) > 0 ? { filtered } : {}),
    ...(sumOf(repeats) > 0 ? { repeats } : {}),
    ...(passedOver > 0 ? { passed_over: passedOver } : {}),
    captions_truncated: captionsTruncated,
    shards: {
      done: shards.done.length,
      reused: shards.reused.length,
      failed: shards.failed.length,
      truncated: shards.truncated.length,
      ...(shards.untouched.length > 0 ? { untouched: shards.untouched.length } : {}),
    },
    ...(shards.failed.length > 0 ? { failures: shards.failed } : {}),
    ...(shards.truncated.length > 0 ? { truncated: shards.truncated } : {}),
    ...(towers.length > 0 ? { towers } : {}),
    ...(towers.length > 0 ? { stages: stagesOf(totals) } : {}),
    seconds: round(seconds),
  };
}

/** Seconds of each stage; what several threads do at once counts for each. */
function stagesOf({ stages }: ScoreTotals): { [stage: string]: number } {
  return Object.fromEntries(Object.entries(stages).map(([stage, seconds]) => [stage, round(seconds)]));
}

export function filterSummary(
  parts: { score: ScoreTotals; refine?: RefineReport[]; select: SelectTotals; reshard: ReshardReport },
  seconds: number,
) {
  const { score, select, reshard } = parts;
  return {
    ...scoreSummary(score, seconds),
    ...refineSummary(parts.refine),
    kept: select.keptRows,
    dropped: select.total - select.keptRows,
    ...boundOf(select),
    subset: { uids: select.written, repeats: select.repeats },
    output: { samples: reshard.written, shards: reshard.shards.length, renamed: reshard.renamed },
  };
}

export function selectSummary(totals: SelectTotals, seconds: number) {
  return {
    seen: totals.total,
    kept: totals.keptRows,
    dropped: totals.total - totals.keptRows,
    ...boundOf(totals),
    unjudged: unjudged(totals),
    steps: totals.steps,
    overlap: totals.overlap,
    ...(totals.spreads === undefined ? {} : { spreads: totals.spreads }),
    subset: { uids: totals.written, distinct: totals.distinct, repeats: totals.repeats },
    seconds: round(seconds),
  };
}

export function scoreLines(
  totals: ScoreTotals,
  seconds: number,
  pilot: { limit?: number; sample?: number } = {},
): string[] {
  const { seen, scored, shards } = totals;
  const [skipped, filtered] = [sumOf(totals.skipped), sumOf(totals.filtered)];
  const also = filtered > 0 ? `, ${count(filtered)} filtered` : '';
  const lines = [`${plural(seen, 'sample')} seen, ${count(scored)} scored, ${count(skipped)} skipped${also}`];
  lines.push(...countLines(totals.skipped));
  if (filtered > 0) lines.push('filtered before they were scored, by:', ...countLines(totals.filtered));
  const { pictures, captions } = totals.repeats;
  if (pictures + captions > 0) {
    lines.push(
      `${plural(pictures, 'picture')} and ${plural(captions, 'caption')} repeated earlier ones of their shard and were not embedded again`,
    );
  }
  if (totals.passedOver > 0) lines.push(`${count(totals.passedOver)} passed over by the pilot`);
  for (const [slug, n] of Object.entries(totals.captionsTruncated)) {
    if (n > 0) lines.push(`${plural(n, 'caption')} longer than the context of ${slug} were cut`);
  }
  for (const { slug, precision, device, pictures_per_second, captions_per_second } of totals.towers) {
    lines.push(
      `${slug}: ${precision} on ${device}; warm, ${rate(pictures_per_second)} pictures/s and ${rate(captions_per_second)} captions/s`,
    );
  }
  const states = [`${count(shards.done.length)} scored`];
  if (shards.reused.length > 0) states.push(`${count(shards.reused.length)} already done`);
  if (shards.failed.length > 0) states.push(`${count(shards.failed.length)} failed`);
  if (shards.truncated.length > 0) states.push(`${count(shards.truncated.length)} ended early`);
  if (shards.untouched.length > 0) states.push(`${count(shards.untouched.length)} not reached`);
  lines.push(`shards: ${states.join(', ')}; ${duration(seconds)}`);
  for (const { message } of shards.failed) lines.push(`  ${message}`);
  const estimate = estimateSeconds(totals, seconds, pilot);
  if (estimate !== undefined) lines.push(`at this rate the whole takes about ${duration(estimate)}`);
  return lines;
}

/** The largest first. */
function countLines(counts: { [name: string]: number }): string[] {
  return Object.entries(counts)
    .sort(([, a], [, b]) => b - a)
    .map(([name, n]) => `  ${name}: ${count(n)}`);
}

/**
 * A pilot's answer. With a limit, time grows with the bytes; with a sample, with the share of samples scored, which
 * takes reading for free and so errs on the long side.
 */
export function estimateSeconds(
  totals: ScoreTotals,
  seconds: number,
  pilot: { limit?: number; sample?: number },
): number | undefined {
  if (pilot.limit === undefined && pilot.sample === undefined) return undefined;
  if (totals.bytesRead === 0 || totals.seen === 0) return undefined;
  const bytesShare = totals.bytesTotal === undefined ? 1 : Math.min(1, totals.bytesRead / totals.bytesTotal);
  return seconds / bytesShare / (pilot.sample ?? 1);
}

export function selectLines(totals: SelectTotals): string[] {
  const { total, keptRows, steps } = totals;
  const { column, threshold } = boundOf(totals);
  const bound =
    steps.length === 1 && typeof threshold === 'number'
      ? ` (${column} ≥ ${Number(threshold.toPrecision(7))})`
      : '';
  const lines = [`${count(keptRows)} of ${plural(total, 'row')} kept, ${percent(keptRows, total)}${bound}`];
  const unknown = unjudged(totals);
  if (unknown > 0)
    lines.push(`${plural(unknown, 'row')} that could not be judged (a value is missing), kept out`);
  lines.push(
    `${plural(totals.written, 'uid')} in the subset, ${plural(totals.repeats, 'repeat')} among the kept rows`,
  );
  return [...totals.notes, ...(steps.length > 1 || steps[0]?.parts ? funnelLines(totals) : []), ...lines];
}

export function speed(samples: number, seconds: number): string {
  return `${rate(samples / Math.max(seconds, 1e-9))} a second`;
}

/** The bound of the last filter that has one. */
export function boundOf({ steps }: Pick<SelectTotals, 'steps'>): {
  column?: string;
  threshold?: number | null;
} {
  const last = steps.flatMap(({ found }) => found).findLast(({ threshold }) => threshold !== undefined);
  return last === undefined ? {} : { column: last.column, threshold: finiteOrNull(last.threshold!) };
}

function unjudged({ steps }: SelectTotals): number {
  return steps.reduce((sum, step) => sum + step.unjudged, 0);
}

function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

function round(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}
