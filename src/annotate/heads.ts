/** Columns that a head makes of image embeddings: of the npz, or of the pass in which they are scored. */
import type { RunEntry } from '../metadata/run.ts';
import type { Head, HeadInfo } from '../safety/heads/head.ts';
import type { HeadRunner } from '../safety/heads/run.ts';
import { fingerprintOf } from './fingerprint.ts';
import { TAG_THRESHOLDS, type UnsafeTerm, unsafeJson } from './punsafe.ts';
import type { RowAnnotator } from './types.ts';

/** Counts up when the code that runs heads changes a number. */
const VERSION = 1;

export interface HeadSource {
  info: Pick<HeadInfo, 'name' | 'labels' | 'columns' | 'thresholds' | 'unsafe'>;
  /** Each label is judged alone, as one is and concepts are; where they share one probability, none is what is looked for. */
  apart: boolean;
  /** What the head is made of: hashes. */
  identity: RunEntry[string];
  /** For `run.json`. */
  about: Omit<RunEntry, 'fingerprint'>;
  /** Called when the first row needs it. */
  load(): Promise<HeadRunner>;
}

/** `slug` and `model` (its weights' hash, or what is known instead) are whose embeddings it is run on. */
export function headAnnotator(
  source: HeadSource,
  slug: string,
  model: { name: string; weights: string | null },
): RowAnnotator {
  const { info } = source;
  const fingerprint = fingerprintOf(['head', VERSION, source.identity, model.weights ?? model.name]);
  const schema = info.columns.map((name) => ({ name, type: 'float' as const }));
  let loading: Promise<HeadRunner> | undefined;
  return {
    group: `safety:${info.name}`,
    fingerprint,
    needs: [`embeddings:${slug}`],
    entry: {
      fingerprint,
      name: info.name,
      ...source.about,
      labels: [...info.labels],
      embeddings: slug,
      model: model.name,
      ...(model.weights === null ? {} : { weights_sha256: model.weights }),
      ...unsafeJson(headTerms(source)),
    },
    schema,
    async columns({ rows, embeddings }) {
      loading ??= source.load();
      const found = await (await loading).run(embeddings?.get(slug)?.image ?? new Float32Array(0), rows);
      const width = schema.length;
      return schema.map(({ name, type }, k) => ({
        name,
        type,
        values: Array.from({ length: rows }, (_, row) => found[row * width + k]),
      }));
    },
    async close() {
      await (await loading?.catch(() => undefined))?.release();
    },
  };
}

/** Whether each label of a head is judged alone. */
export function labelsApart({ info, layers }: Head): boolean {
  return info.labels.length === 1 || layers.some(({ type }) => type === 'concepts');
}

/** A label's own threshold goes before `nsfw`, which is that of all labels; none is below `unsure`. */
export function headTerms({ info, apart }: Pick<HeadSource, 'info' | 'apart'>): UnsafeTerm[] {
  const counted = info.unsafe ?? (apart ? info.labels : []);
  return info.labels.flatMap((label, k) => {
    if (!counted.includes(label)) return [];
    const nsfw = info.thresholds[label] ?? info.thresholds['nsfw'] ?? TAG_THRESHOLDS.nsfw;
    const unsure = Math.min(nsfw, info.thresholds['unsure'] ?? TAG_THRESHOLDS.unsure);
    return [{ columns: [info.columns[k]], unsure, nsfw }];
  });
}
