/** Heads, for people and for machines. */
import * as z from 'zod';
import type { Head } from '../../src/safety/heads/head.ts';
import { count } from './format.ts';
import type { Terminal } from './terminal.ts';

/** A head's description; its weights are not shown. */
export function showHead(terminal: Terminal, head: Head, file: string, flags: { json?: boolean }): void {
  const layers = head.layers.map((layer) => {
    if (layer.type === 'dense') return `dense ${layer.inputs}→${layer.outputs} ${layer.activation}`;
    if (layer.type === 'encode') return `lookups on ${layer.lookups.map(({ column }) => column).join(', ')}`;
    if (layer.type === 'concepts') return `${layer.concepts.length} concepts against neutral prompts`;
    return layer.type;
  });
  const { info } = head;
  if (flags.json) {
    terminal.out(`${JSON.stringify({ ...info, layers, file })}\n`);
    return;
  }
  const { space, metrics, ...rest } = info;
  const hashes = space.weights_sha256.join(' or ') || 'known by name only';
  const lines: [string, string][] = [
    ['file', file],
    ...Object.entries(rest).map(([name, value]): [string, string] => [name, shown(value)]),
    ['model', `${space.name} (${space.dim} components; weights ${hashes})`],
    ['layers', layers.join(', ')],
    ...Object.entries(metrics ?? {})
      .filter(([name]) => name !== 'held_out')
      .map(([name, value]): [string, string] => [name, shown(value)]),
  ];
  for (const [name, value] of lines) terminal.out(`${name.padEnd(24)}${value}\n`);
  for (const line of metricLines(head)) terminal.out(`${line}\n`);
}

function shown(value: unknown): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.join(', ');
  return value === null ? 'unknown' : JSON.stringify(value);
}

const estimateSchema = z.object({ value: z.number().nullable(), low: z.number(), high: z.number() });
const heldOutSchema = z.array(
  z.object({
    label: z.string(),
    positives: z.number(),
    roc_auc: estimateSchema,
    average_precision: estimateSchema,
    fold_roc_auc: z.array(z.number().nullable()),
    thresholds: z.array(
      z.object({
        threshold: z.number(),
        flagged: z.number(),
        precision: estimateSchema,
        recall: estimateSchema,
      }),
    ),
  }),
);
type ClassFigures = z.infer<typeof heldOutSchema>[number];

/** What training measured on rows that were held out, from a head's own metrics; nothing where it has none. */
export function metricLines(head: Head): string[] {
  const parsed = heldOutSchema.safeParse(head.info.metrics?.['held_out']);
  return parsed.success ? parsed.data.flatMap(classLines) : [];
}

function classLines({ label, positives, thresholds, ...figures }: ClassFigures): string[] {
  const folds = figures.fold_roc_auc.map((value) => value?.toFixed(3) ?? '–').join(' ');
  return [
    '',
    `${label}: ${count(positives)} labelled so; figures of rows held out, with 95% intervals`,
    `  ROC-AUC            ${interval(figures.roc_auc)}   by fold ${folds}`,
    `  average precision  ${interval(figures.average_precision)}`,
    '  at or above   flagged   precision             recall',
    ...thresholds.map(({ threshold, flagged, precision, recall }) =>
      `  ${Number(threshold.toPrecision(3)).toString().padEnd(12)}  ${`${(100 * flagged).toFixed(1)}%`.padStart(7)}   ${interval(precision)}  ${interval(recall)}`.trimEnd(),
    ),
  ];
}

/** `0.912 (0.874–0.951)`; a dash where nothing was flagged. */
function interval({ value, low, high }: z.infer<typeof estimateSchema>): string {
  const text = value === null ? '–' : `${value.toFixed(3)} (${low.toFixed(3)}–${high.toFixed(3)})`;
  return text.padEnd(20);
}
