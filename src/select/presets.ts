import { UsageError } from '../errors.ts';
import { scoreColumn } from '../metadata/columns.ts';
import type { FilterInput, PresetName, PresetParams } from './spec.ts';

const BOUND = ['threshold', 'fraction', 'of'] as const;
const FILES = ['centroids', 'targets'] as const;

/** What each preset takes beside its name. */
const TAKES: { [name in PresetName]: readonly Exclude<keyof PresetParams, 'name'>[] } = {
  no_filter: [],
  basic_filter: [],
  clip_score: ['arch', ...BOUND],
  laion2b: [],
  text_based: [],
  image_based: FILES,
  image_based_intersect_clip_score: ['arch', ...BOUND, ...FILES],
  safe: [],
  negcliploss: ['arch', ...BOUND],
  negcliploss_normsim: ['arch', 'fraction', 'of', 'targets'],
};

/** Presets that end with a bound on a score. */
export function takesBound(name: PresetName): boolean {
  return TAKES[name].includes('fraction');
}

/**
 * DataComp's baselines as filters (mlfoundations/datacomp, `baselines/apply_filter.py`), and the methods of
 * arXiv 2405.19547. Each is the conjunction of its filters; `docs/filters.md` names what decides who is in. Throws
 * `UsageError` where a preset lacks what it needs, or is given what it would not heed.
 */
export function presetFilters(preset: PresetParams): FilterInput[] {
  const { name, arch, of } = preset;
  const takes: readonly string[] = TAKES[name];
  for (const [field, value] of Object.entries(preset)) {
    if (value === undefined || field === 'name' || takes.includes(field)) continue;
    throw new UsageError(`preset ${name} takes no ${field}`, {
      hint: takes.length === 0 ? 'It has nothing to set' : `It takes ${takes.join(', ')}`,
    });
  }
  switch (name) {
    case 'no_filter':
      return [];
    case 'basic_filter':
      return [
        { language: { by: 'fasttext', is: 'en' } },
        { caption: { min_words: 3, min_characters: 6 } },
        { size: { min_side: 200, max_aspect: 3 } },
      ];
    case 'clip_score':
      return [{ score: { column: arch && scoreOf(arch), ...boundOf(preset) } }];
    case 'laion2b':
      return [
        { language: { by: 'cld3', is: 'en' } },
        { score: { column: scoreColumn('b32'), threshold: 0.28 } },
      ];
    case 'text_based':
      return [{ language: { by: 'fasttext', is: 'en' } }, { text_based: {} }];
    case 'image_based':
      return imageBased(preset);
    case 'image_based_intersect_clip_score':
      return [...imageBased(preset), { score: { column: scoreOf(arch ?? 'l14'), ...boundOf(preset) } }];
    case 'safe':
      return [{ safe: {} }];
    case 'negcliploss':
      return [{ negcliploss: { slug: arch, ...boundOf(preset) } }];
    case 'negcliploss_normsim':
      // The authors' own fractions for the medium scale: 30% by the loss, then 20% of the pool by the norm.
      return [
        { negcliploss: { slug: arch, fraction: 0.3 } },
        { normsim: { slug: arch, targets: fileOf(preset, 'targets'), fraction: preset.fraction ?? 0.2, of } },
      ];
  }
}

function imageBased(preset: PresetParams): FilterInput[] {
  return [
    { language: { by: 'fasttext', is: 'en' } },
    { caption: { min_fasttext_tokens: 2, min_characters: 6 } },
    {
      image_based: {
        centroids: fileOf(preset, 'centroids'),
        targets: fileOf(preset, 'targets'),
        // DataComp's centroids are of L/14 image embeddings, whichever score it intersects with.
        slug: 'l14',
      },
    },
  ];
}

/** `b32` or any slug, or a column's full name. */
function scoreOf(arch: string): string {
  return /^clip_.*_similarity_score$/.test(arch) ? arch : scoreColumn(arch);
}

function boundOf({
  name,
  threshold,
  fraction,
  of,
}: PresetParams): Pick<PresetParams, (typeof BOUND)[number]> {
  if ((threshold === undefined) === (fraction === undefined)) {
    throw new UsageError(`preset ${name} needs a threshold or a fraction`, {
      hint: 'Add --threshold 0.28 or --fraction 0.3',
    });
  }
  return threshold === undefined ? { fraction, of } : { threshold };
}

function fileOf(preset: PresetParams, what: 'centroids' | 'targets'): string {
  const file = preset[what];
  if (file === undefined) {
    throw new UsageError(`preset ${preset.name} needs --${what} FILE`, {
      hint:
        what === 'centroids'
          ? '`shardsieve centroids` makes them, or take the ones that DataComp publishes'
          : 'Image embeddings of the target task, such as the ones of ImageNet-1k that DataComp publishes',
    });
  }
  return file;
}
