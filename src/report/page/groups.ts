import type { GroupsReport, SafetyReport } from '../types.ts';
import { bar } from './chart.ts';
import { count, details, escaped, percentBetween, table, threshold } from './html.ts';

/** Whom a threshold hits harder than the pool as a whole. */
export function groupsSection(report: SafetyReport): string {
  const { groups, measures, levels, main } = report;
  if (groups.length === 0) return '';
  const parts = [
    '<h2>Whom it hits</h2>',
    `<p>Share of each group’s judged rows that a threshold removes. The upright line is the share of the whole pool; ▲ marks groups whose whole interval lies more than a tenth above it, ▼ below. A head that removes more of one language or size may see more there, or may err more there: look before trusting it.</p>`,
  ];
  for (const one of groups) {
    parts.push(`<h3>By ${escaped(one.by)}</h3>`);
    const others: string[] = [];
    for (const [m, { name }] of measures.entries()) {
      for (const [l, level] of levels.entries()) {
        const shown = groupTable(report, one, m, l);
        if (name === main && l === 0) parts.push(shown);
        else others.push(details(`${name} at ${level}`, shown));
      }
    }
    if (others.length > 0) parts.push(details('Other measures and thresholds', others.join('')));
    if (one.merged > 0) parts.push('<p>Values past the first 10,000 are counted together.</p>');
  }
  return parts.join('\n');
}

function groupTable({ measures }: SafetyReport, { by, groups }: GroupsReport, m: number, l: number): string {
  const { name, at } = measures[m];
  const whole = at[l].share.value;
  const own = groups.map(({ value, rows, measures: all }) => ({
    value,
    rows,
    ...all[m].at[l],
    unjudged: all[m].unjudged,
  }));
  const largest = Math.max(whole, ...own.map(({ share }) => (Number.isNaN(share.value) ? 0 : share.high)));
  const to = largest > 0 ? largest : 1;
  return table(
    `${name} ≥ ${threshold(at[l].threshold)}, by ${by}; whole pool ${percentBetween(at[l].share)}`,
    [escaped(by), 'share removed (95%)', 'drawn', 'against all', 'removed', 'rows', 'not judged'],
    own.map(({ value, rows, unjudged, removed, share, against }) => [
      `<bdi>${escaped(value)}</bdi>`,
      percentBetween(share),
      bar(share, whole, to),
      { more: '<span class="more">▲ more</span>', fewer: '▼ fewer', same: '' }[against],
      ...[removed, rows, unjudged].map(count),
    ]),
  );
}
