import type { RefineReport } from '../jobs/refine.ts';
import { count, percent, plural } from './format.ts';

/** What refining did, for people and for machines. */

export function refineLines(report: RefineReport): string[] {
  const { column, rows, refined, rescored, thresholds, band, factor, largest, sample } = report;
  const now = rescored === refined ? '' : `, ${count(rescored)} of them scored again now`;
  const at = thresholds.map((threshold) => figure(threshold)).join(', ');
  return [
    `${column} is fp32's in ${count(refined)} of ${plural(rows, 'row')}, ${percent(refined, rows)}${now}; it cuts at ${at}`,
    `every other row lies more than ${figure(band)} from that: ${factor} times the largest difference of all that was scored twice, ${figure(largest)}`,
    `of ${count(sample.rows)} rows drawn it was ${figure(sample.largest)}: with ${percent(sample.confidence, 1)} confidence at least ${(100 * sample.share).toFixed(2)}% of all rows differ no more, and one more row would with a chance of 1 in ${count(Math.round(1 / sample.chance))}`,
  ];
}

export function refineSummary(reports: readonly RefineReport[] | undefined): {
  refine?: readonly RefineReport[];
} {
  return reports === undefined || reports.length === 0 ? {} : { refine: reports };
}

function figure(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(6))) : 'no score';
}
