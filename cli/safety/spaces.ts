/** Whose embeddings a metadata folder holds. */
import { ModelError, UsageError } from '../../src/errors.ts';
import type { Fit } from '../../src/image/types.ts';
import { inspectFolder } from '../../src/metadata/folder.ts';
import type { RunRecord } from '../../src/metadata/run.ts';
import type { WantedModel } from '../../src/run/score-job.ts';
import type { DownloadOptions } from '../hub/download.ts';
import { openFolder } from '../io/folder.ts';
import { wantModels } from '../jobs/models.ts';
import { type EmbeddingSpace, embeddingModel } from './heads.ts';

/** What a folder says of itself that judging its samples needs. */
export interface FolderSpaces {
  spaces: EmbeddingSpace[];
  /** How its pictures were read; as open_clip reads them where nothing says. */
  fit: Fit;
  /** Where uids come from; `json` where nothing says. */
  uid: string;
  /** Shardsieve wrote it: its rows stand in the order of the shards that they are named after. */
  isOwn: boolean;
}

/** DataComp's published metadata names its embeddings and no weights. */
const DATACOMP = [
  { slug: 'b32', alias: 'openai-b32' },
  { slug: 'l14', alias: 'openai-l14' },
] as const;

/** `model`: a MODEL argument, for what has to be embedded; by default what the folder names. */
export async function spacesOf(
  metadata: string,
  options: DownloadOptions & { model?: string },
): Promise<FolderSpaces> {
  const { run } = await inspectFolder(openFolder(metadata, { readOnly: true }));
  if (run === undefined) {
    const spaces = DATACOMP.map(
      ({ slug, alias }): EmbeddingSpace => ({
        slug,
        model: { name: `DataComp's ${slug}`, datacomp: slug },
        want: () => wantOne(options.model ?? alias, options),
      }),
    );
    return { spaces, fit: 'open_clip', uid: 'json', isOwn: false };
  }
  return { ...ownSpaces(run, options), isOwn: true };
}

/** The models of a `run.json`. */
export function ownSpaces(
  run: RunRecord,
  options: DownloadOptions & { model?: string },
): Omit<FolderSpaces, 'isOwn'> {
  const fits = new Set(Object.values(run.models).map(({ fit }) => fit));
  const uid = run.rows['uid'];
  return {
    spaces: Object.entries(run.models).map(([slug, entry]): EmbeddingSpace => {
      const { name, revision } = entry;
      return {
        slug,
        model: embeddingModel(entry),
        want: () => wantOne(options.model ?? specOf(name, revision), options),
      };
    }),
    fit: fits.size === 1 && fits.has('visual') ? 'visual' : 'open_clip',
    uid: typeof uid === 'string' ? uid : 'json',
  };
}

async function wantOne(spec: string, options: DownloadOptions): Promise<WantedModel> {
  const [wanted] = await wantModels({ models: [spec] }, options);
  return wanted;
}

/** The MODEL argument of a model known by its name. Throws `UsageError` for one from a folder, which is not recorded. */
function specOf(name: unknown, revision: unknown): string {
  if (name === 'demo') return 'demo';
  if (typeof name !== 'string')
    throw new ModelError('the metadata does not name the model of its embeddings');
  if (name.includes('/')) return `hf-hub:${name}${typeof revision === 'string' ? `@${revision}` : ''}`;
  throw new UsageError(`the model ${name} was read from a folder`, {
    hint: 'Say where it is: --model local-dir:PATH',
  });
}
