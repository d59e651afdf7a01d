import { sumOf } from '../../src/metadata/stats.ts';
import type { ScoreTotals } from '../../src/run/totals.ts';
import type { RunPlan } from '../jobs/plan.ts';
import { count, percent, plural } from './format.ts';

/** Where each filter runs, and why it is not moved. */
export function planLines({ filters, off }: RunPlan): string[] {
  if (filters.length === 0) return ['plan: there are no filters'];
  const width = Math.max(...filters.map(({ label }) => label.length));
  const lines = filters.map(({ label, when, reads, why }) => {
    const from = when === 'after scores' ? '' : `, by ${reads}`;
    return `  ${label.padEnd(width)}  ${when}${from}${why === undefined ? '' : `: ${why}`}`;
  });
  const title = off ?? 'where filters run; all of them are applied again when rows are selected';
  return [`plan: ${title}`, ...lines];
}

/** The share of the work that a run did not do. */
export function savedLines(totals: ScoreTotals): string[] {
  const { filtered, repeats, seen, shards } = totals;
  const dropped = sumOf(filtered);
  const usable = totals.scored + dropped;
  const share = (n: number) => `${count(n)} (${percent(n, usable)})`;
  const by = Object.entries(filtered)
    .sort(([, a], [, b]) => b - a)
    .map(([name, n]) => `${name} ${share(n)}`);
  const lines = [
    `work saved, of ${plural(usable, 'sample')} that could be scored (${count(seen)} seen):`,
    `  not decoded: ${share(dropped)}${by.length > 0 ? `; by ${by.join(', ')}` : ''}`,
    `  not embedded: ${share(dropped)} of both; pictures met before ${share(repeats.pictures)}, captions met before ${share(repeats.captions)}`,
  ];
  if (shards.reused.length > 0) {
    lines.push(`  (${plural(shards.reused.length, 'shard')} done before: repeats in them are not counted)`);
  }
  return lines;
}

/** For `--json`. */
export function planSummary(plan: RunPlan) {
  const { filters, off } = plan;
  return {
    filters: filters.map(({ label, ...rest }) => ({ filter: label, ...rest })),
    ...(off === undefined ? {} : { off }),
  };
}
