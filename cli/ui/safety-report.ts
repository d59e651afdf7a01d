/** A safety report on a terminal: what matters for choosing a threshold; the page has the rest. */
import { isCount, LOOKED_AT, passedAt } from '../../src/report/page/cost.ts';
import {
  between,
  count,
  number,
  percent,
  percentBetween,
  pValue,
  threshold,
} from '../../src/report/page/html.ts';
import type { GroupsReport, SafetyReport } from '../../src/report/types.ts';
import { plural } from './format.ts';

/** Groups of a kind that are named; small ones have intervals that say little. */
const GROUPS = 6;

export function safetyLines(report: SafetyReport): string[] {
  const { rows, files, notes } = report;
  return [
    ...notes,
    `${plural(rows, 'row')} in ${plural(files, 'file')}`,
    ...costLines(report),
    ...groupLines(report),
    ...agreementLines(report),
    ...labelledLines(report),
  ];
}

function costLines({ measures, levels, tags }: SafetyReport): string[] {
  const lines = ['', 'removed at or above a threshold, of the judged rows (95% interval)'];
  lines.push(
    ...grid(
      ['measure', 'not judged', ...levels],
      measures.map((measure) => [
        ...[measure.name, count(measure.unjudged)],
        ...measure.at.map((at) => `${percentBetween(at.share)} at ${threshold(at.threshold)}`),
      ]),
    ),
  );
  if (tags !== null) {
    const all = tags.map(
      ({ tag, rows, share }) => `${printable(tag ?? 'without a tag')} ${count(rows)} (${percent(share)})`,
    );
    lines.push('', `tags: ${all.join(', ')}; select --safe keeps UNLIKELY`);
  }
  const shares = measures.filter((measure) => !isCount(measure));
  if (shares.length === 0) return lines;
  const rows = shares.map((measure) => [
    measure.name,
    ...LOOKED_AT.map((t) => percent(passedAt(measure, t))),
  ]);
  return [...lines, '', 'kept at a threshold', ...grid(['measure', ...LOOKED_AT.map(threshold)], rows)];
}

function groupLines(report: SafetyReport): string[] {
  return report.groups.flatMap((groups) => oneGrouping(report, groups));
}

/** The largest groups of names, all buckets; by the main measure at its first threshold. */
function oneGrouping({ main, measures, levels }: SafetyReport, { by, groups }: GroupsReport): string[] {
  const m = measures.findIndex(({ name }) => name === main);
  const shown = groups.length > 2 * GROUPS ? groups.slice(0, GROUPS) : groups;
  const hit = groups.filter((group) => !shown.includes(group) && group.measures[m].at[0].against === 'more');
  const rows = [...shown, ...hit.slice(0, GROUPS)].map(({ value, rows: n, measures: all }) => {
    const { share, against } = all[m].at[0];
    return [
      printable(value),
      count(n),
      percentBetween(share),
      { more: 'more', fewer: 'fewer', same: '' }[against],
    ];
  });
  const title = `${main} at ${levels[0]}, by ${by} (more, fewer: than the whole pool by a tenth, beyond luck)`;
  const others = measures.flatMap(({ name }, o) => {
    const more = groups.filter((group) => o !== m && group.measures[o].at[0].against === 'more');
    const shares = more.map(
      (group) => `${printable(group.value)} ${percent(group.measures[o].at[0].share.value)}`,
    );
    const whole = percent(measures[o].at[0].share.value);
    return more.length > 0
      ? [`  ${name}, ${whole} of all, removes more of ${shares.slice(0, GROUPS).join(', ')}`]
      : [];
  });
  return ['', title, ...grid([by, 'rows', 'removed', ''], rows), ...others];
}

function agreementLines({ agreement, levels }: SafetyReport): string[] {
  if (agreement === null) return [];
  const rows = agreement.pairs.map(({ a, b, spearman, at }) => [
    ...[`${a}, ${b}`, number(spearman)],
    ...at.map(
      ({ kappa, both, only_a, only_b }) =>
        `${number(kappa)} (${[both, only_a, only_b].map(count).join(' / ')})`,
    ),
  ]);
  const head = [
    'heads a, b',
    'Spearman',
    ...levels.map((level) => `kappa at ${level} (both / only a / only b)`),
  ];
  return ['', 'how the heads agree', ...grid(head, rows)];
}

function labelledLines({ labelled, levels }: SafetyReport): string[] {
  if (labelled === null) return [];
  const { measures, comparisons, samples, positives, positive } = labelled;
  const areas = measures.map(({ name, roc_auc, average_precision }) => [
    name,
    between(roc_auc),
    between(average_precision),
  ]);
  const points = measures.flatMap(({ name, at }) =>
    at.map(({ threshold: t, flagged, precision, recall }, l) => [
      ...[name, `${levels[l]} ${threshold(t)}`, count(flagged), between(precision), between(recall)],
    ]),
  );
  const pairs = comparisons.map(({ a, b, difference, p, more }) => [
    ...[`${a}, ${b}`, number(difference.value), pValue(p), more === null ? '–' : count(more)],
  ]);
  return [
    '',
    `on ${plural(samples, 'labelled sample')}, ${count(positives)} of them ${printable(positive)} (95% intervals)`,
    ...grid(['measure', 'ROC-AUC', 'average precision'], areas),
    '',
    ...grid(['measure', 'threshold', 'flagged', 'precision', 'recall'], points),
    ...(pairs.length > 0
      ? ['', ...grid(['heads a, b', 'AUC a − AUC b', 'DeLong’s p', 'labels more to tell apart'], pairs)]
      : []),
  ];
}

/** Columns as wide as their widest cell. */
function grid(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((cell, c) => Math.max(cell.length, ...rows.map((row) => row[c].length)));
  return [head, ...rows].map((row) =>
    `  ${row.map((cell, c) => cell.padEnd(widths[c])).join('  ')}`.trimEnd(),
  );
}

/** A value of the data must not steer the terminal. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '�').slice(0, 60);
}
