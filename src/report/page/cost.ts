import type { MeasureReport, SafetyReport } from '../types.ts';
import { chart } from './chart.ts';
import { columnName, count, details, escaped, percent, percentBetween, table, threshold } from './html.ts';

/** Thresholds of the table that stands in full; the others are folded away. */
export const LOOKED_AT = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9];
const FROM = 0.001;

/** What is kept at each threshold. */
export function costSection({ measures, levels, tags }: SafetyReport): string {
  const shares = measures.filter((measure) => !isCount(measure));
  const parts = [
    '<h2>What thresholds remove</h2>',
    table(
      'At the thresholds in use',
      ['measure', ...levels.map((level) => `removed at ${escaped(level)}`), 'judged', 'not judged'],
      measures.map((measure) => [
        columnName(measure.name),
        ...measure.at.map(
          ({ threshold: t, removed, share }) =>
            `${percentBetween(share)}<br><span class="soft">≥ ${threshold(t)}: ${count(removed)}</span>`,
        ),
        ...[measure.judged, measure.unjudged].map(count),
      ]),
    ),
  ];
  if (tags !== null) {
    const rows = tags.map(({ tag, rows: n, share }) => [
      ...[escaped(tag ?? 'without a tag'), percent(share), count(n)],
    ]);
    parts.push(table('By tag: select --safe keeps UNLIKELY', ['nsfw_tag', 'share of all', 'rows'], rows));
  }
  if (shares.length > 0) {
    parts.push(
      curveChart(shares, levels),
      table(
        'Share kept at a threshold',
        ['measure', ...LOOKED_AT.map(threshold)],
        shares.map((measure) => [
          escaped(measure.name),
          ...LOOKED_AT.map((t) => percent(passedAt(measure, t))),
        ]),
      ),
    );
  }
  const outside = measures.filter(
    (measure) => measure.below_zero + (isCount(measure) ? 0 : measure.above_one) > 0,
  );
  for (const { name, below_zero, above_one } of outside)
    parts.push(
      `<p>${escaped(name)} leaves 0 to 1: ${count(below_zero)} values are below, ${count(above_one)} above.</p>`,
    );
  parts.push(
    details(
      'Every threshold counted',
      measures
        .map(({ name, curve }) =>
          table(
            name,
            ['threshold', 'removed', 'kept'],
            curve.map(({ threshold: t, removed, passed }) => [threshold(t), count(removed), percent(passed)]),
          ),
        )
        .join(''),
    ),
  );
  return parts.join('\n');
}

export function isCount({ curve }: MeasureReport): boolean {
  return curve.length > 0 && curve[0].threshold >= 1;
}

export function passedAt({ curve }: MeasureReport, t: number): number | null {
  return curve.find((point) => point.threshold === t)?.passed ?? null;
}

function curveChart(measures: readonly MeasureReport[], levels: readonly string[]): string {
  const lowest = Math.min(...measures.map((measure) => passedAt(measure, 0.01) ?? 1));
  const from = Math.min(0.9, Math.floor((Number.isNaN(lowest) ? 0 : lowest) * 10) / 10);
  const steps = from >= 0.9 ? 5 : Math.round((1 - from) * 10);
  const stride = steps > 6 ? 2 : 1;
  const ticks = Array.from({ length: steps + 1 }, (_, i) => 1 - (i * (1 - from)) / steps).filter(
    (_, i) => i % stride === 0,
  );
  const cut = from > 0 ? `; the axis begins at ${percent(from)}` : '';
  return chart({
    title: `Share kept by threshold${cut}`,
    x: {
      ...{ label: 'threshold (logarithmic)', from: FROM, to: 1, log: true, format: threshold },
      ticks: [0.001, 0.01, 0.1, 0.5, 1],
    },
    y: { label: 'share kept', from, to: 1, ticks, format: (t) => `${Math.round(100 * t)}%` },
    lines: measures.map(({ name, curve }) => ({
      name,
      points: curve.map(({ threshold: x, passed }) => ({ x, y: Math.max(from, passed) })),
    })),
    marks: levels.map((level, l) => ({ x: measures[0].at[l].threshold, label: level })),
  });
}
