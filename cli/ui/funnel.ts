import { QUANTILES } from '../../src/select/quantiles.ts';
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
  for (const { label, before, after, alone, unjudged, found } of steps) {
    const notes = found.flatMap(({ column, threshold }) =>
      threshold !== undefined && Number.isFinite(threshold)
        ? [`${column ?? 'score'} ≥ ${Number(threshold.toPrecision(7))}`]
        : [],
    );
    if (unjudged > 0) notes.push(`${count(unjudged)} not judged`);
    rows.push([
      label,
      count(after),
      percent(after, before),
      percent(after, total),
      percent(alone, total),
      notes.join('; '),
    ]);
  }
  return table(rows);
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
