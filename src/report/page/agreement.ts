import type { SafetyReport } from '../types.ts';
import { columnName, count, details, escaped, number, percent, table } from './html.ts';

/** How far heads say the same, and what only one of them says. */
export function agreementSection({ agreement, levels, rows }: SafetyReport): string {
  if (agreement === null) return '';
  const { pairs, alone, sampled } = agreement;
  const over = sampled < rows ? `over ${count(sampled)} rows drawn evenly` : 'over all rows';
  const parts = [
    '<h2>How the heads agree</h2>',
    `<p>Spearman’s correlation says whether two heads put rows in the same order (${over}); Cohen’s kappa whether they flag the same rows beyond what chance makes: 0 is chance, 1 is always.</p>`,
  ];
  for (const [l, level] of levels.entries()) {
    const pairTable = table(
      `Pairs at ${level}`,
      ['heads a and b', 'kappa', 'Spearman', 'both flag', 'only a', 'only b', 'rows'],
      pairs.map(({ a, b, rows: judged, spearman, at }) => {
        const { kappa, both, only_a, only_b } = at[l];
        const name = `${columnName(a)} <span class="soft">and</span> ${columnName(b)}`;
        return [name, number(kappa), number(spearman), ...[both, only_a, only_b, judged].map(count)];
      }),
    );
    const { any, by } = alone[l];
    const aloneTable = table(
      `Flagged by one head alone at ${level}`,
      ['head', 'flagged', 'by it alone', 'of what it flags', 'of what any flags'],
      by.map(({ measure, flagged, alone: only }) => [
        ...[columnName(measure), count(flagged), count(only)],
        ...[percent(flagged > 0 ? only / flagged : null), percent(any > 0 ? only / any : null)],
      ]),
    );
    const both = `<p>${count(any)} rows are flagged by some head, ${percent(any / rows)} of all.</p>${aloneTable}${pairTable}`;
    parts.push(l === 0 ? `<h3>At ${escaped(level)}</h3>${both}` : details(`At ${level}`, both));
  }
  return parts.join('\n');
}
