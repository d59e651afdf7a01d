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
