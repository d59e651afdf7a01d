import type { LabelledMeasure, SafetyReport } from '../types.ts';
import { chart } from './chart.ts';
import { between, columnName, count, escaped, number, pValue, table, threshold } from './html.ts';

const SHARE = {
  from: 0,
  to: 1,
  ticks: [0, 0.2, 0.4, 0.6, 0.8, 1],
  format: (t: number) => String(Math.round(10 * t) / 10),
};

/** How right the measures are on labelled samples. */
export function labelledSection({ labelled, levels }: SafetyReport): string {
  if (labelled === null) return '';
  const { measures, comparisons, positive, samples, positives } = labelled;
  const drawn = measures.filter(({ roc }) => roc.length > 0);
  const parts = [
    '<h2>How right they are, on labelled samples</h2>',
    `<p>${count(samples)} labelled samples, ${count(positives)} of them “${escaped(positive)}”. Figures hold for pools like these samples: precision falls where what is looked for is rarer than among them.</p>`,
    table(
      'Areas (95% intervals)',
      ['measure', 'ROC-AUC', 'average precision', 'samples', 'looked for'],
      measures.map(({ name, samples: n, positives: own, roc_auc, average_precision }) => [
        ...[columnName(name), between(roc_auc), between(average_precision), count(n), count(own)],
      ]),
    ),
  ];
  if (drawn.length > 0) {
    parts.push(
      '<div class="charts">',
      chart({
        title: 'ROC',
        x: { label: 'false positive rate', ...SHARE },
        y: { label: 'true positive rate', ...SHARE },
        lines: drawn.map(({ name, roc }) => ({ name, points: roc.map(({ fpr: x, tpr: y }) => ({ x, y })) })),
        diagonal: true,
      }),
      chart({
        title: 'Precision and recall',
        x: { label: 'recall', ...SHARE },
        y: { label: 'precision', ...SHARE },
        lines: drawn.map(({ name, pr }) => ({ name, points: steps(pr) })),
      }),
      '</div>',
    );
  }
  parts.push(
    table(
      'At the thresholds in use (95% intervals)',
      ['measure', 'threshold', 'flagged', 'precision', 'recall'],
      measures.flatMap(({ name, at }) =>
        at.map(({ threshold: t, flagged, precision, recall }, l) => [
          ...[columnName(name), `${escaped(levels[l])}: ≥ ${threshold(t)}`, count(flagged)],
          ...[between(precision), between(recall)],
        ]),
      ),
    ),
  );
  if (comparisons.length > 0) {
    parts.push(
      table(
        'Is one better than the other? (DeLong’s test)',
        ['a and b', 'samples', 'AUC a − AUC b', 'p', 'samples needed', 'more to label'],
        comparisons.map(({ a, b, samples: n, difference, p, needed, more }) => [
          `${columnName(a)} <span class="soft">and</span> ${columnName(b)}`,
          ...[count(n), signed(difference), pValue(p), samplesText(needed), samplesText(more)],
        ]),
      ),
      '<p class="soft">“Needed” is how many labelled samples of this mix would show a difference as large as the one seen in 80% of the cases, at 5% two-sided. The difference seen is itself uncertain. p is not corrected for the number of pairs.</p>',
    );
  }
  return parts.join('\n');
}

function signed({ value, low, high }: { value: number; low: number; high: number }): string {
  return `${number(value)} (${number(low)} to ${number(high)})`;
}

function samplesText(n: number | null): string {
  return n === null ? '–' : count(n);
}

/** Precision between two thresholds is that of the lower one, as average precision takes it; a straight line would flatter. */
function steps(pr: LabelledMeasure['pr']): { x: number; y: number }[] {
  return pr.flatMap(({ recall, precision }, i) => [
    { x: pr[i - 1]?.recall ?? 0, y: precision },
    { x: recall, y: precision },
  ]);
}
