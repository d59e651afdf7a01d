import { UsageError } from '../../errors.ts';
import type { CaptionLanguages, SelectEnv } from '../env.ts';
import type { Pool } from '../pool.ts';
import type { Params } from '../spec.ts';
import { DROP, KEEP, type RowFilter, UNJUDGED } from '../types.ts';

const COLUMN = { fasttext: 'lang_fasttext', cld3: 'lang_cld3' } as const;
const PROBABILITY = 'lang_fasttext_prob';

/** The caption's language: from the column that `annotate` adds, else computed on the fly. */
export function languageFilter(params: Params<'language'>, pool: Pool, env: SelectEnv): RowFilter {
  const { by, min_probability } = params;
  if (min_probability !== undefined && by !== 'fasttext') {
    throw new UsageError('min_probability is of fasttext only');
  }
  const wanted = new Set(typeof params.is === 'string' ? [params.is] : params.is);
  const verdict = (language: string | null, probability: number) =>
    language === null
      ? UNJUDGED
      : wanted.has(language) && (min_probability === undefined || probability >= min_probability)
        ? KEEP
        : DROP;
  const column = COLUMN[by];
  const needsProbability = min_probability !== undefined;
  if (pool.has(column) && (!needsProbability || pool.has(PROBABILITY))) {
    return {
      kind: 'rows',
      requests: [
        { name: column, as: 'text' },
        ...(needsProbability ? [{ name: PROBABILITY, as: 'number' } as const] : []),
      ],
      judge(batch, verdicts) {
        const languages = batch.texts(column);
        const probabilities = needsProbability ? batch.numbers(PROBABILITY) : undefined;
        for (let row = 0; row < batch.rows; row++) {
          verdicts[row] = verdict(languages[row], probabilities?.[row] ?? 1);
        }
      },
    };
  }
  const { languages } = env;
  if (languages === undefined) {
    throw new UsageError(`no column ${column}, and languages cannot be told here`, {
      column,
      hint: `Add it first: shardsieve annotate METADATA --lang ${by}`,
    });
  }
  let detector: Promise<CaptionLanguages> | undefined;
  return {
    kind: 'rows',
    requests: [{ name: 'text', as: 'text' }],
    async judge(batch, verdicts) {
      detector ??= languages(by);
      const captions = batch.texts('text');
      const found = await (await detector).detect(captions);
      for (let row = 0; row < batch.rows; row++) {
        verdicts[row] = verdict(found[row]?.language ?? null, found[row]?.probability ?? 0);
      }
    },
  };
}

/** Languages that are told once for each batch, however many filters ask. */
export function askedOnce(
  languages: NonNullable<SelectEnv['languages']>,
): NonNullable<SelectEnv['languages']> {
  const detectors = new Map<string, Promise<CaptionLanguages>>();
  const remember = async (detector: Promise<CaptionLanguages>): Promise<CaptionLanguages> => {
    const told = new WeakMap<object, ReturnType<CaptionLanguages['detect']>>();
    const { detect } = await detector;
    return {
      detect(captions) {
        const known = told.get(captions) ?? detect(captions);
        told.set(captions, known);
        return known;
      },
    };
  };
  return (by) => {
    const detector = detectors.get(by) ?? remember(languages(by));
    detectors.set(by, detector);
    return detector;
  };
}
