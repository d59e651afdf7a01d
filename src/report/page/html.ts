/** Pieces of a page, every value of a report escaped on its way in. */
import type { Estimate } from '../../safety/heads/train/metrics.ts';

/** Text for an element's content or an attribute in double quotes. */
export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** The name of a column, which may break after its underscores. */
export function columnName(name: string): string {
  return escaped(name).replaceAll('_', '_<wbr>');
}

export function count(n: number): string {
  return String(n).replace(/\B(?=(?:\d{3})+$)/g, ',');
}

/** `14.4%`; two figures more where one digit would say nothing: `0.032%`, `99.97%`. A dash for what is not known. */
export function percent(share: number | null): string {
  if (share === null || Number.isNaN(share)) return '–';
  const percents = 100 * share;
  const distance = Math.min(percents, 100 - percents);
  if (distance === 0 || distance >= 0.95) return `${percents.toFixed(distance === 0 ? 0 : 1)}%`;
  return `${percents.toFixed(Math.min(6, 1 - Math.floor(Math.log10(distance))))}%`;
}

/** `14.4% (13.9–14.9)`. */
export function percentBetween({ value, low, high }: Estimate): string {
  if (Number.isNaN(value)) return '–';
  return `${percent(value)} (${percent(low).slice(0, -1)}–${percent(high).slice(0, -1)})`;
}

/** `0.912 (0.874–0.951)`. */
export function between(estimate: Estimate | null): string {
  if (estimate === null || Number.isNaN(estimate.value)) return '–';
  const { value, low, high } = estimate;
  return `${value.toFixed(3)} (${low.toFixed(3)}–${high.toFixed(3)})`;
}

export function number(value: number | null): string {
  return value === null || Number.isNaN(value) ? '–' : value.toFixed(3);
}

/** `0.00012`, `< 0.0001`. */
export function pValue(p: number | null): string {
  return p === null ? '–' : p < 0.0001 ? '< 0.0001' : p.toPrecision(2);
}

export function threshold(t: number): string {
  return String(Number(t.toPrecision(6)));
}

/** A table that scrolls by itself on narrow screens. Cells are HTML; the first of each row is its heading. */
export function table(
  caption: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const top = head.map((cell) => `<th scope="col">${cell}</th>`).join('');
  const body = rows.map(
    ([first, ...cells]) =>
      `<tr><th scope="row">${first}</th>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`,
  );
  const label = escaped(caption);
  return `<div class="scroll" role="region" tabindex="0" aria-label="${label}"><table><caption>${label}</caption><thead><tr>${top}</tr></thead><tbody>${body.join('')}</tbody></table></div>`;
}

export function details(summary: string, content: string): string {
  return `<details><summary>${escaped(summary)}</summary>${content}</details>`;
}
