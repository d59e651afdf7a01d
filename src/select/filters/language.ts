import { LANGUAGE_COLUMNS } from '../../annotate/language.ts';
import { UsageError } from '../../errors.ts';
import type { Detection, DetectorName, LanguageDetector } from '../../language/types.ts';
import type { SelectEnv } from '../env.ts';
import type { Pool } from '../pool.ts';
import type { ColumnRequest } from '../scan.ts';
import type { Params } from '../spec.ts';
import { type Answer, DROP, KEEP, type RowFilter, UNJUDGED } from '../types.ts';

/** What a language filter says of a caption in that language; `null` for a row without one. */
export function languageRule({
  by,
  is,
  min_probability: least,
}: Params<'language'>): (language: string | null, probability: number) => Answer {
  if (least !== undefined && by !== 'fasttext') throw new UsageError('min_probability is of fasttext only');
  const wanted = new Set([is].flat());
  return (language, probability) => {
    if (language === null) return UNJUDGED;
    return wanted.has(language) && (least === undefined || probability >= least) ? KEEP : DROP;
  };
}

/** The caption's language: from the columns that `annotate` adds, else told on the fly. */
export async function languageFilter(
  params: Params<'language'>,
  pool: Pool,
  env: SelectEnv,
): Promise<RowFilter> {
  const { by, min_probability: least } = params;
  const verdict = languageRule(params);
  const { language, probability } = LANGUAGE_COLUMNS[by];
  const asked = [language, ...(least === undefined ? [] : [probability!])];
  if (asked.every((column) => pool.has(column))) {
    return {
      kind: 'rows',
      requests: asked.map((name): ColumnRequest => ({ name, as: name === language ? 'text' : 'number' })),
      judge(batch, verdicts) {
        const languages = batch.texts(language);
        const probabilities = least === undefined ? undefined : batch.numbers(probability!);
        for (let row = 0; row < batch.rows; row++) {
          verdicts[row] = verdict(languages[row], probabilities?.[row] ?? 1);
        }
      },
    };
  }
  if (env.languages === undefined) {
    throw new UsageError(`no column ${language}, and languages cannot be told here`, {
      column: language,
      hint: `Add it first: shardsieve annotate METADATA --lang ${by}`,
    });
  }
  pool.require('text');
  const detector = await env.languages(by);
  return {
    kind: 'rows',
    requests: [{ name: 'text', as: 'text' }],
    found: { detector: by, detector_fingerprint: detector.fingerprint },
    async judge(batch, verdicts) {
      const found = await detector.detect(batch.texts('text'));
      for (let row = 0; row < batch.rows; row++) {
        const one = found[row];
        verdicts[row] = verdict(one?.language ?? null, one?.probability ?? 0);
      }
    },
  };
}

/** Languages that are told once for each batch, however many filters ask. */
export function askedOnce(
  languages: (by: DetectorName) => Promise<LanguageDetector>,
): (by: DetectorName) => Promise<LanguageDetector> {
  const detectors = new Map<DetectorName, Promise<LanguageDetector>>();
  const remember = async (asked: Promise<LanguageDetector>): Promise<LanguageDetector> => {
    const detector = await asked;
    const told = new WeakMap<object, Promise<(Detection | null)[]>>();
    return {
      ...detector,
      detect(captions) {
        const known = told.get(captions) ?? detector.detect(captions);
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
