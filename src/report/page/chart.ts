/** Line charts as SVG that reads without colour, too: every line has its own dashes and stands in the legend. */
import { escaped } from './html.ts';

export interface Axis {
  label: string;
  from: number;
  to: number;
  ticks: readonly number[];
  /** Logarithmic. */
  log?: boolean;
  format: (value: number) => string;
}

export interface Line {
  name: string;
  points: readonly { x: number; y: number }[];
}

export interface Chart {
  title: string;
  x: Axis;
  y: Axis;
  lines: readonly Line[];
  /** Places on the x axis that are marked. */
  marks?: readonly { x: number; label: string }[];
  /** A thin line from corner to corner: what chance gives. */
  diagonal?: boolean;
}

// Small, so that text stays readable when a phone shows the chart at its own width.
const [WIDTH, HEIGHT] = [420, 290];
const [LEFT, RIGHT, TOP, BOTTOM] = [56, 408, 18, 246];
const DASHES = ['', '7 3', '2 3', '9 3 2 3', '4 2 1 2', '12 4', '1 2', '6 2 2 2 2 2'];

export function chart({ title, x, y, lines, marks = [], diagonal }: Chart): string {
  const px = (value: number) => place(value, x, LEFT, RIGHT);
  const py = (value: number) => place(value, y, BOTTOM, TOP);
  const parts = [
    ...y.ticks.map(
      (t) =>
        `<path class="grid" d="M${LEFT} ${py(t)}H${RIGHT}"/><text x="${LEFT - 6}" y="${py(t) + 4}" text-anchor="end">${y.format(t)}</text>`,
    ),
    ...x.ticks.map(
      (t) =>
        `<path class="grid" d="M${px(t)} ${TOP}V${BOTTOM}"/><text x="${px(t)}" y="${BOTTOM + 16}" text-anchor="middle">${x.format(t)}</text>`,
    ),
    `<text x="${(LEFT + RIGHT) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${escaped(x.label)}</text>`,
    `<text x="12" y="${(TOP + BOTTOM) / 2}" text-anchor="middle" transform="rotate(-90 12 ${(TOP + BOTTOM) / 2})">${escaped(y.label)}</text>`,
    ...(diagonal ? [`<path class="mark" d="M${LEFT} ${BOTTOM}L${RIGHT} ${TOP}"/>`] : []),
    ...marks
      .filter(({ x: at }) => at >= x.from && at <= x.to)
      .map(
        ({ x: at, label }) =>
          `<path class="mark" d="M${px(at)} ${TOP}V${BOTTOM}"/><text x="${px(at)}" y="${TOP - 5}" text-anchor="middle">${escaped(label)}</text>`,
      ),
    ...lines.map(({ points }, i) => {
      const inside = points.filter((point) => point.x >= x.from && point.x <= x.to && !Number.isNaN(point.y));
      const path = inside.map((point) => `${px(point.x)} ${py(point.y)}`).join('L');
      return path === '' ? '' : `<path class="line ${lineClass(i)}" ${dash(i)} d="M${path}"/>`;
    }),
  ];
  const legend = lines.map(
    ({ name }, i) =>
      `<li><svg viewBox="0 0 34 8" aria-hidden="true"><path class="line ${lineClass(i)}" ${dash(i)} d="M0 4H34"/></svg>${escaped(name)}</li>`,
  );
  return `<figure><figcaption>${escaped(title)}</figcaption><svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(`${title}; the numbers are in the tables`)}">${parts.join('')}</svg><ul class="legend">${legend.join('')}</ul></figure>`;
}

/** A share with its interval on a scale from 0 to `to`, and where the whole pool's share lies. */
export function bar(
  estimate: { value: number; low: number; high: number },
  whole: number,
  to: number,
): string {
  if (Number.isNaN(estimate.value)) return '';
  const at = (value: number) => round((100 * Math.min(value, to)) / to);
  return `<svg class="bar" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true"><rect x="0" y="2" width="${at(estimate.value)}" height="8"/><path class="range" d="M${at(estimate.low)} 6H${at(estimate.high)}"/><path class="whole" d="M${at(whole)} 0V12"/></svg>`;
}

function lineClass(i: number): string {
  return `c${i % 8}`;
}

/** With the colour's place, so that a ninth line differs from the first by its dashes. */
function dash(i: number): string {
  const pattern = DASHES[(i + Math.floor(i / 8)) % 8];
  return pattern === '' ? '' : `stroke-dasharray="${pattern}"`;
}

function place(value: number, { from, to, log }: Axis, start: number, end: number): number {
  const f = log ? Math.log : (v: number) => v;
  return round(start + ((end - start) * (f(value) - f(from))) / (f(to) - f(from)));
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
