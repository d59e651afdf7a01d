/** Which filters of a run drop samples before they are decoded. */
import type { DetectorName } from '../../src/language/types.ts';
import { inspectFolder } from '../../src/metadata/folder.ts';
import { gateOf } from '../../src/run/plan/gate.ts';
import { type FilterPlan, gateEntry, type PlannedFilter, planFilters } from '../../src/run/plan/plan.ts';
import type { Filter } from '../../src/select/spec.ts';
import { openFolder } from '../io/folder.ts';
import { createLanguages, type Languages } from '../language/languages.ts';
import { createSelectEnv } from '../select/env.ts';
import type { AnnotateOptions } from './annotate.ts';
import type { ScoreOptions } from './score.ts';
import type { SelectOptions } from './select.ts';

export type { PlannedFilter };

/** What a run decided about its filters before it scored anything. */
export interface RunPlan {
  filters: PlannedFilter[];
  /** Why nothing is dropped early, whatever the filters. */
  off?: string;
}

export interface OpenPlan {
  plan: RunPlan;
  /** For `scoreShards`; absent where every sample is scored. */
  gate?: ScoreOptions['gate'];
  close(): Promise<void>;
}

export interface PlanInput {
  score: ScoreOptions;
  select: SelectOptions;
  annotate?: readonly AnnotateOptions[];
  /** Score every sample. */
  fullMetadata?: boolean;
}

/**
 * Plans the filters of a run that scores and then selects. Throws `UsageError` where a file that a filter names is none
 * of its kind, `ModelError`, `DownloadError`.
 */
export async function openPlan(input: PlanInput, filters: readonly Filter[]): Promise<OpenPlan> {
  const { score, select } = input;
  const languages = createLanguages({
    // One thread tells many times more captions than the towers embed.
    threads: 1,
    lid: select.lid,
    signal: score.signal,
    ...(score.onDownload === undefined ? {} : { onProgress: score.onDownload }),
  });
  const env = createSelectEnv({ signal: score.signal });
  const close = async (): Promise<void> => {
    await languages.close();
    await env.close();
  };
  try {
    const plan = await planFilters(filters, {
      readFile: env.readFile,
      entities: env.entities,
      languages: await trustedLanguages(languages, input),
      strict: select.strict,
      carried: (score.carry ?? []).map((field) => field.replace(/^json:/, '')),
    });
    const off = await reasonAgainst(input);
    if (off !== undefined) return { plan: { filters: withOff(plan, off), off }, close };
    const [gate, entry] = [gateOf(plan), gateEntry(plan)];
    return {
      plan: { filters: plan.filters },
      ...(gate === undefined || entry === undefined ? {} : { gate: { gate, entry } }),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Why every sample is scored, whatever the filters. */
async function reasonAgainst({ score, select, fullMetadata }: PlanInput): Promise<string | undefined> {
  if (fullMetadata) return 'every sample is scored, as --full-metadata asks';
  const metadata = [select.metadata].flat();
  if (metadata.length !== 1 || metadata[0] !== score.out)
    return 'the subset is selected from other metadata too';
  const { run, committed } = await inspectFolder(openFolder(score.out, { readOnly: true }));
  if (run === undefined || committed.size === 0 || run.rows['gate'] !== undefined) return undefined;
  return `${score.out} holds metadata of every sample already, and is completed as it is`;
}

function withOff({ filters }: FilterPlan, why: string): PlannedFilter[] {
  return filters.map((one) => (one.when === 'after scores' ? one : { ...one, when: 'after scores', why }));
}

/**
 * The detectors whose answers selecting will go by. It goes by columns of languages where there are some: those must be of
 * the same detector, and joined tables may bring any.
 */
async function trustedLanguages(languages: Languages, { score, select, annotate = [] }: PlanInput) {
  if ((select.join ?? []).length > 0) return undefined;
  const { run } = await inspectFolder(openFolder(score.out, { readOnly: true }));
  const { lid = 'compressed' } = select;
  return async (by: DetectorName) => {
    const isOther = ({ lang = [], lid: asked = 'compressed' }: AnnotateOptions) =>
      by === 'fasttext' && lang.includes(by) && asked !== lid;
    if (annotate.some(isOther)) return undefined;
    const detector = await languages.detector(by);
    const there = run?.groups?.[`language:${by}`]?.fingerprint;
    return there === undefined || there === detector.fingerprint ? detector : undefined;
  };
}
