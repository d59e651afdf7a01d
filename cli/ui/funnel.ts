import type { Step } from '../../src/select/evaluate.ts';
import { QUANTILES } from '../../src/select/quantiles.ts';
import type { Found } from '../../src/select/types.ts';
import type { SelectTotals } from '../jobs/select.ts';
import { count, percent } from './format.ts';

/**
 * What each filter leaves, a line a filter: rows after it, their share of the rows before it and of the pool, what it
 * would keep alone, and the threshold that a fraction became.
 */
export function funnelLines({ total, steps }: Pick<SelectTotals, 'total' | 'steps'>): string[] {
  const rows: string[][] = [
    ['', 'rows', 'of before', 'of all', 'alone', ''],
    ['all', count(total), '', '', '', ''],
  ];
  for (const step of steps) addRows(step, total, '', rows);
  return table(rows);
}

/** A step's line, and below it those of its parts. */
function addRows(step: Step, total: number, indent: string, rows: string[][]): void {
  const { label, before, after, alone, unjudged, found, parts = [] } = step;
  const notes = parts.length > 0 ? [] : found.flatMap(noteOf);
  if (unjudged > 0) notes.push(`${count(unjudged)} not judged`);
  rows.push([
    indent + label,
    count(after),
    percent(after, before),
    percent(after, total),
    percent(alone, total),
    notes.join('; '),
  ]);
  for (const part of parts) addRows(part, total, `${indent}  `, rows);
}

/** What a filter found out, where it is a threshold or a count of repeats. */
function noteOf({ column, threshold, repeats, duplicates }: Found): string[] {
  if (threshold !== undefined && Number.isFinite(threshold)) {
    return [`${column ?? 'score'} ≥ ${Number(threshold.toPrecision(7))}`];
  }
  const dropped = repeats ?? duplicates;
  return typeof dropped === 'number' ? [`${count(dropped)} repeats`] : [];
}

/** What a dry run prints: the funnel, how steps overlap, and how the scores are spread. */
export function explainLines(totals: SelectTotals): string[] {
  const { total, keptRows, written, repeats, steps, overlap, spreads = [] } = totals;
  const lines = [...totals.notes, ...funnelLines(totals)];
  if (steps.length > 1) {
    lines.push('', 'rows that two filters both keep, of all:');
    const names = steps.map((_, i) => String(i + 1));
    lines.push(
      ...table([
        ['', ...names, ''],
        ...steps.map(({ label }, i) => [
          `${i + 1}  ${label}`,
          ...overlap[i].map((rows) => percent(rows, total)),
          '',
        ]),
      ]),
    );
  }
  if (spreads.length > 0) {
    lines.push('', 'quantiles of the scores, over all rows:');
    lines.push(
      ...table([
        ['', ...QUANTILES.map((q) => `${100 * q}%`), 'mean', 'missing', ''],
        ...spreads.map(({ column, quantiles, mean, missing }) => [
          column,
          ...[...quantiles, mean].map((value) => (Number.isNaN(value) ? '–' : value.toFixed(4))),
          count(missing),
          '',
        ]),
      ]),
    );
  }
  lines.push(
    '',
    `${count(keptRows)} of ${count(total)} rows would be kept, ${percent(keptRows, total)}: ${count(written)} uids, ${count(repeats)} repeats; nothing was written`,
  );
  return lines;
}

/** Columns side by side: the first flush left, the figures flush right, the last as it is. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  return rows.map((row) =>
    row
      .map((cell, i) =>
        i === 0 ? cell.padEnd(widths[i]) : i === row.length - 1 ? cell : cell.padStart(widths[i]),
      )
      .join('  ')
      .trimEnd(),
  );
}
