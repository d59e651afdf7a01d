/** The short names of well-known checkpoints, and the names of their columns. */
import { distance } from '../../src/nearest.ts';

export interface Alias {
  /** What is typed on the command line. */
  name: string;
  /** `org/name` on the hub. */
  repo: string;
  /** The middle of `clip_<slug>_similarity_score`. `b32` and `l14` are DataComp's own, for OpenAI's two. */
  slug: string;
  /** As the model card states it; the card is what counts. */
  licence: string;
  note: string;
}

export const DEFAULT_ALIAS = 'datacomp-b32-256';

/**
 * Repositories from open_clip's table of pretrained models (`src/open_clip/pretrained.py`), except
 * `apple/DFN-public`, which that table does not have. Slugs do not repeat: two models in one run are two columns.
 */
export const ALIASES: readonly Alias[] = [
  {
    name: DEFAULT_ALIAS,
    repo: 'laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K',
    slug: 'dcb32_256',
    licence: 'MIT',
    note: 'the default: ViT-B/32 at 256 px, trained on DataComp-1B',
  },
  {
    name: 'datacomp-b32',
    repo: 'laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K',
    slug: 'dcb32',
    licence: 'MIT',
    note: 'ViT-B/32 at 224 px, trained on DataComp-1B',
  },
  {
    name: 'datacomp-b16',
    repo: 'laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K',
    slug: 'dcb16',
    licence: 'MIT',
    note: 'ViT-B/16 at 224 px, trained on DataComp-1B',
  },
  {
    name: 'datacomp-l14',
    repo: 'laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K',
    slug: 'dcl14',
    licence: 'MIT',
    note: 'ViT-L/14 at 224 px, trained on DataComp-1B',
  },
  {
    name: 'openai-b32',
    repo: 'timm/vit_base_patch32_clip_224.openai',
    slug: 'b32',
    licence: 'Apache-2.0 (timm), MIT (OpenAI)',
    note: "OpenAI's ViT-B/32: DataComp's clip_b32_similarity_score",
  },
  {
    name: 'openai-b16',
    repo: 'timm/vit_base_patch16_clip_224.openai',
    slug: 'b16',
    licence: 'Apache-2.0 (timm), MIT (OpenAI)',
    note: "OpenAI's ViT-B/16",
  },
  {
    name: 'openai-l14',
    repo: 'timm/vit_large_patch14_clip_224.openai',
    slug: 'l14',
    licence: 'Apache-2.0 (timm), MIT (OpenAI)',
    note: "OpenAI's ViT-L/14: DataComp's clip_l14_similarity_score",
  },
  {
    name: 'openai-l14-336',
    repo: 'timm/vit_large_patch14_clip_336.openai',
    slug: 'l14_336',
    licence: 'Apache-2.0 (timm), MIT (OpenAI)',
    note: "OpenAI's ViT-L/14 at 336 px",
  },
  {
    name: 'laion-h14',
    repo: 'laion/CLIP-ViT-H-14-laion2B-s32B-b79K',
    slug: 'h14',
    licence: 'MIT',
    note: 'ViT-H/14 at 224 px, trained on LAION-2B',
  },
  {
    name: 'dfn-public',
    repo: 'apple/DFN-public',
    slug: 'dfn',
    licence: 'see the model card',
    note: 'a data filtering network; works only if its repository has safetensors weights',
  },
];

export function findAlias(name: string): Alias | undefined {
  return ALIASES.find((alias) => alias.name === name);
}

export function aliasOfRepo(repo: string): Alias | undefined {
  const wanted = repo.toLowerCase();
  return ALIASES.find((alias) => alias.repo.toLowerCase() === wanted);
}

/** The known name with the fewest edits from `name`, where that is few enough to be a slip. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const ranked = known
    // The names are short; what is typed is cut, so that a pasted text costs nothing.
    .map((candidate) => ({ candidate, away: distance(name.toLowerCase().slice(0, 64), candidate) }))
    .sort((a, b) => a.away - b.away);
  const best = ranked[0];
  if (best === undefined) return undefined;
  return best.away <= Math.max(2, Math.floor(best.candidate.length / 3)) ? best.candidate : undefined;
}
